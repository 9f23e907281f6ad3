// Why a mail is where it is: evidence of a rule, rules of the tenant that held, and what they sorted the ticket by.

import { h } from "./dom.js";

const PRIORITIES = { low: "Low", high: "High", urgent: "Urgent" };

/** evidence: [{where, value}] */
export function evidenceTable(evidence) {
  return evidence.length ? h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Where"), h("th", {}, "What it says"))),
    h("tbody", {}, evidence.map((one) => h("tr", {}, h("td", {}, one.where), h("td", {}, one.value))))) : null;
}

/** rulings: [{rule, version, did, evidence}] */
export function rulingsShown(rulings) {
  return rulings.map((one) => h("div", { class: "verdict" },
    h("p", {}, "Mail rule ", h("code", {}, one.rule), ` (version ${one.version}): ${one.did.join("; ")}, because:`), evidenceTable(one.evidence)));
}

/** Priority, queue and tags of a ticket as badges. */
export function labels(ticket) {
  return [
    PRIORITIES[ticket.priority] && h("span", { class: ticket.priority === "low" ? "badge" : "badge bad" }, PRIORITIES[ticket.priority]),
    ticket.queue && h("span", { class: "badge", title: "Queue" }, ticket.queue),
    ...ticket.tags.map((tag) => h("span", { class: "badge", title: "Tag" }, `#${tag}`)),
  ].filter(Boolean);
}
