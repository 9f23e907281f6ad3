// Certificates, for admins: that every mail of a day is accounted for, or what is not and what to do.

import { get, query } from "./api.js";
import { h, icon } from "./dom.js";
import { exactTime, shortTime } from "./format.js";

export class Certificates {
  constructor(hooks) {
    this.hooks = hooks;
    this.element = h("main", { class: "certificates", tabindex: "-1", "aria-label": "Certificates" });
  }

  async show() {
    const rows = h("ul", { class: "aside-rows" });
    const more = h("button", { class: "more", hidden: true }, "Show more");
    const state = h("div", { role: "status" }, h("p", { class: "muted pad" }, "Loading …"));
    this.element.replaceChildren(h("header", { class: "aside-head" },
      h("button", { class: "quiet back", "aria-label": "Back to the tickets", onclick: () => this.hooks.back() }, icon("back")),
      h("div", {}, h("h1", {}, "Certificates"), h("p", { class: "muted" },
        "Each day the providers’ own lists are held against what is stored. Each certificate is signed and holds the sum of the one before."))), rows, state, more);
    let cursor = null, day = null;
    const load = async () => {
      more.disabled = true;
      try {
        const page = await get(`/certificates${query({ limit: 50, cursor })}`);
        cursor = page.next;
        for (const one of page.items) {
          rows.append(this.#row(one, one.day !== day));
          day = one.day;
        }
        more.hidden = !cursor;
        state.replaceChildren(...(rows.childNodes.length ? [] : [h("div", { class: "empty" }, icon("check"), h("h2", {}, "None yet"),
          h("p", { class: "muted" }, "The first is made in the night after the first mail was read."))]));
      } catch (problem) {
        state.replaceChildren(h("p", { class: "error pad" }, problem.message));
      }
      more.disabled = false;
    };
    more.addEventListener("click", load);
    await load();
  }

  /** isLast: of its day; the API tells the details of those. */
  #row(one, isLast) {
    const details = h("div", { class: "details", hidden: true });
    const button = isLast && h("button", {
      class: "quiet small", "aria-expanded": "false", "aria-label": `Details of certificate ${one.number}`,
      onclick: async () => {
        details.hidden = !details.hidden;
        button.setAttribute("aria-expanded", String(!details.hidden));
        if (details.hidden || details.childNodes.length) return;
        try {
          details.replaceChildren(...this.#told(await get(`/certificates/${one.day}`)));
        } catch (problem) {
          details.replaceChildren(h("p", { class: "error" }, problem.message));
        }
      },
    }, icon("info"), "Details");
    return h("li", { class: "aside-row" },
      h("div", { class: "aside-main" },
        h("div", { class: "row-text" },
          h("span", { class: "row-top" }, h("span", { class: "who" }, `${one.number} · ${one.day}`), h("time", { datetime: one.made_at }, shortTime(one.made_at))),
          h("span", { class: "subject" }, one.says),
          one.unaccounted ? h("span", { class: "marks" }, h("span", { class: "badge bad" }, `${one.unaccounted} not accounted for`)) : null),
        h("div", { class: "aside-buttons" }, button)),
      details);
  }

  #told(made) {
    const facts = [["Made", exactTime(made.made_at)], ["Mails", made.mails], ["Erased for good", made.erased], ["Refused, never stored", made.refused], ["Looked for in Sent folders", made.sent],
      ["Of ours, not sent", Object.entries(made.unsent).map(([status, count]) => `${count} ${status}`).join(", ") || "0"],
      ["Objects", `${made.objects}, ${made.packs_read} packs read in full`], ["Last ticket", `#${made.last_ticket}`], ["SHA-256", made.digest]];
    const inboxes = made.inboxes.map((one) => [one.inbox, one.skipped ? `not asked: ${one.skipped}` : `${one.listed} mails listed since ${exactTime(one.since)}`
      + (one.odd_sizes ? `; ${one.odd_sizes} of other sizes than it tells, ${one.compared} of them compared` : "")
      + (one.sent_unchecked && !one.skipped ? `; Sent not checked: ${one.sent_unchecked}` : "")]);
    const findings = made.findings.map((one) => [one.inbox || "The tenant", `${one.kind.replaceAll("_", " ")}: ${one.key}${one.detail ? `, ${one.detail}` : ""}`,
      one.repaired ? "Put right" : one.to_do]);
    return [
      h("dl", {}, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
      table(["Inbox", "What it was asked"], inboxes),
      findings.length ? table(["Inbox", "What was missing", "What to do"], findings) : h("p", {}, "Nothing was missing."),
      made.findings_more ? h("p", {}, `${made.findings_more} more are counted and not named.`) : null,
    ].filter(Boolean);
  }
}

function table(heads, rows) {
  return h("table", {}, h("thead", {}, h("tr", {}, heads.map((one) => h("th", { scope: "col" }, one)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map((one) => h("td", {}, one))))));
}
