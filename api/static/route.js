// The address says what is shown: /tickets/12?status=open&q=refund, /aside/spam, /certificates.

export const ASIDE = {
  spam: { title: "Spam and automatic", states: ["listed", "dropped"], icon: "shield" },
  parked: { title: "Parked", states: ["parked", "refused", "conflict"], icon: "pause" },
};

export function read() {
  const values = new URLSearchParams(location.search);
  const [, kind, name] = location.pathname.split("/");
  return {
    ticket: kind === "tickets" ? Number(name) : null,
    aside: kind === "aside" && name in ASIDE ? name : null,
    certificates: kind === "certificates",
    filter: {
      status: values.has("status") ? values.get("status") : "open",
      inbox: values.get("inbox") ?? "",
      unread: values.get("unread") ?? "",
      q: values.get("q") ?? "",
    },
  };
}

export function address({ ticket = null, aside = null, certificates = false, filter }) {
  if (certificates) return "/certificates";
  const values = new URLSearchParams(Object.entries(filter).filter(([name, value]) => value && !(name === "status" && value === "open")));
  if (filter.status === "") values.set("status", "");
  const path = aside ? `/aside/${aside}` : ticket ? `/tickets/${ticket}` : "/";
  return values.size && !aside ? `${path}?${values}` : path;
}
