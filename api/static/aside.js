// Mail that became no ticket: spam, automatic replies, what could not be read. Looked through, and let out.

import { call, get, query } from "./api.js";
import { bounceOf, notSpam } from "./correct.js";
import { h, icon, toast } from "./dom.js";
import { evidenceTable, rulingsShown } from "./evidence.js";
import { exactTime, shortTime, size } from "./format.js";
import { ASIDE } from "./route.js";

const VERDICTS = { spam: "Spam", auto_reply: "Automatic reply", bounce: "Bounce", delay: "Delay", receipt: "Receipt", complaint: "Complaint", own_loop: "Our own" };
const STATES = { parked: "Could not be read", refused: "Too large", conflict: "Same id, other content", dropped: "Dropped", listed: "Listed" };

export class Aside {
  constructor(hooks) {
    this.hooks = hooks;
    this.element = h("main", { class: "aside", tabindex: "-1" });
    this.name = null;
  }

  async show(name) {
    this.name = name;
    const { title, states } = ASIDE[name];
    const rows = h("ul", { class: "aside-rows" });
    const more = h("button", { class: "more", hidden: true }, "Show more");
    const state = h("div", {}, h("p", { class: "muted pad" }, "Loading …"));
    this.element.setAttribute("aria-label", title);
    this.element.replaceChildren(h("header", { class: "aside-head" },
      h("button", { class: "quiet back", "aria-label": "Back to the tickets", onclick: () => this.hooks.back() }, icon("back")),
      h("div", {}, h("h1", {}, title), h("p", { class: "muted" }, name === "spam"
        ? "Mail that opened no ticket, with the rule that decided. Release what belongs to you."
        : "Mail that could not be filed. Nothing is lost: the original is kept, and releasing tries again."))), rows, state, more);
    let cursor = null;
    const load = async () => {
      more.disabled = true;
      const asked = states.map((each) => `state=${each}`).join("&");
      let page;
      try {
        page = await get(`/inbound?${asked}&limit=50${query({ cursor }).replace("?", "&")}`);
      } catch (problem) {
        state.replaceChildren(h("p", { class: "error pad", role: "alert" }, problem.message));
        more.disabled = more.hidden = false;
        return;
      }
      if (this.name !== name) return;
      cursor = page.next;
      rows.append(...page.items.map((item) => this.#row(item)));
      more.hidden = !cursor;
      more.disabled = false;
      state.replaceChildren(...(rows.childNodes.length ? [] : [h("div", { class: "empty" }, icon("check"), h("h2", {}, "Nothing here"),
        h("p", { class: "muted" }, "Mail that becomes no ticket is listed here, never deleted."))]));
    };
    more.addEventListener("click", load);
    await load();
  }

  #row(item) {
    const details = h("div", { class: "details", hidden: true },
      h("dl", {}, [["Received", exactTime(item.received_at)], ["Inbox", item.inbox], ["Size", size(item.size_bytes)], ["Rule", item.rule], ["Reason", item.reason]]
        .filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      evidenceTable(item.evidence ?? []), ...rulingsShown(item.mail_rules));
    const row = h("li", { class: "aside-row" },
      h("div", { class: "aside-main" },
        h("div", { class: "row-text" },
          h("span", { class: "row-top" }, h("span", { class: "who" }, item.from_address || "Unknown sender"),
            h("time", { datetime: item.received_at }, shortTime(item.received_at))),
          h("span", { class: "subject" }, item.subject || "(no subject)"),
          h("span", { class: "marks" }, h("span", { class: `badge ${item.state === "listed" ? "" : "bad"}` },
            item.state === "listed" ? VERDICTS[item.verdict] ?? "Mail rule" : STATES[item.state]),
          h("span", { class: "muted" }, item.reason))),
        h("div", { class: "aside-buttons" },
          h("button", {
            class: "quiet small", "aria-expanded": "false",
            onclick: (event) => { details.hidden = !details.hidden; event.currentTarget.setAttribute("aria-expanded", String(!details.hidden)); },
          }, icon("info"), "Why"),
          item.verdict === "bounce" && h("button", { class: "small", onclick: async () => { if (await bounceOf({ inbound_id: item.id })) row.remove(); } }, "Of a reply …"),
          item.state === "refused" ? null : item.verdict === "spam"
            ? h("button", { class: "small", onclick: async () => { if (await notSpam(item)) row.remove(); } }, "Not spam")
            : h("button", { class: "small", onclick: (event) => this.#release(item, row, event.currentTarget) }, "Release"))),
      details);
    return row;
  }

  async #release(item, row, button) {
    button.disabled = true;
    try {
      const { woken } = await call("POST", `/inbound/${item.id}/release`);
      row.remove();
      toast(woken ? "Released: it becomes a ticket in a moment." : "Released: it becomes a ticket as soon as Airflow is back.");
    } catch (problem) {
      toast(problem.message, "bad");
      button.disabled = false;
    }
  }
}
