// What agents put right: mail in the wrong ticket, tickets that are one matter, wrong verdicts. Each can be taken back.

import { call, get, query } from "./api.js";
import { h, toast } from "./dom.js";
import { longTime } from "./format.js";

const DONE = {
  move: (one, here) => (one.ticket_id === here ? `moved a message to #${one.to_ticket_number}` : `moved a message here from #${one.ticket_number}`),
  split: (one, here) => (one.ticket_id === here ? `split #${one.to_ticket_number} off` : `split this off from #${one.ticket_number}`),
  merge: (one, here) => (one.ticket_id === here ? `made this part of #${one.to_ticket_number}` : `made #${one.ticket_number} part of this`),
  spam: () => "marked a message as spam",
  bounce: () => "said that a reply did not arrive",
  customer: (one) => `said that the customer is ${one.customer.name || one.customer.address}`,
};

/** Ask for values in a dialog; null when nothing is to be done. fields: [[name, input]]. */
function ask(title, text, label, fields) {
  return new Promise((resolve) => {
    let given = null;
    const form = h("form", { method: "dialog", onsubmit: () => { given = Object.fromEntries(fields.map(([name, input]) => [name, input.type === "checkbox" ? input.checked : input.value.trim()])); } },
      fields.map(([, input, said]) => h("label", { class: input.type === "checkbox" ? "check" : "field" }, input.type === "checkbox" ? [input, said] : [said, input])),
      h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), h("button", { class: "primary", type: "submit" }, label)));
    const dialog = h("dialog", { class: "keys ask", "aria-labelledby": "ask-title", onclose: () => { dialog.remove(); resolve(given); } },
      h("h2", { id: "ask-title" }, title), text && h("p", { class: "muted" }, text), form);
    document.body.append(dialog);
    dialog.showModal();
  });
}

const number = () => h("input", { type: "text", inputmode: "numeric", pattern: "#?[1-9][0-9]*", required: true, autocomplete: "off", placeholder: "#12" });
const onward = () => h("input", { type: "checkbox" });

async function ticketOf(typed) {
  const wanted = Number(typed.replace("#", ""));
  const { items } = await get(`/tickets${query({ q: `#${wanted}`, limit: 1 })}`);
  if (items[0]?.ticket_number !== wanted) throw new Error(`There is no ticket #${wanted}, or it became part of another.`);
  return items[0].id;
}

/** Do it, and say what came of it; true when something was put right. */
async function putRight(wanted, said) {
  try {
    const body = await wanted();
    if (!body) return false;
    await call("POST", "/corrections", body);
    toast(said);
    return true;
  } catch (problem) {
    toast(problem.message, "bad");
    return false;
  }
}

const tasks = {
  move: (message) => putRight(async () => {
    const given = await ask("Move this message", "Answers to it follow.", "Move", [["to", number(), "To ticket"], ["onward", onward(), "and all that came after it"]]);
    return given && { kind: "move", message_id: message.id, to_ticket_id: await ticketOf(given.to), onward: given.onward };
  }, "The message is moved."),
  split: (message) => putRight(async () => {
    const given = await ask("A matter of its own", "The message becomes a new ticket; nothing is sent.", "Split off", [["onward", onward(), "with all that came after it"]]);
    return given && { kind: "split", message_id: message.id, onward: given.onward };
  }, "It is a ticket of its own now."),
  spam: (message) => putRight(async () => ({ kind: "spam", message_id: message.id }), "Marked as spam."),
};

/** The buttons below a message's details. hooks: {corrected()} */
export function messageTasks(message, hooks) {
  const button = (kind, label) => h("button", { class: "small", onclick: async () => { if (await tasks[kind](message)) hooks.corrected(); } }, label);
  const isSpam = message.verdict?.kind === "spam";
  return h("div", { class: "tasks", role: "group", "aria-label": "Put right" },
    button("move", "Move …"),
    message.direction === "inbound" && [
      button("split", "Split off …"), !isSpam && button("spam", "This is spam"),
      h("button", { class: "small", onclick: async () => { if (await bounceOf({ message_id: message.id })) hooks.corrected(); } }, "It is a bounce …"),
    ]);
}

/** Ask which reply of ours a mail says did not arrive. about: {message_id} or {inbound_id}. */
export function bounceOf(about) {
  return putRight(async () => {
    const given = await ask("A reply that did not arrive", "This mail is kept as a note on it.", "Continue", [["ticket", number(), "In ticket"]]);
    if (!given) return null;
    const { messages } = await get(`/tickets/${await ticketOf(given.ticket)}`);
    const ours = messages.filter((message) => message.direction === "outbound").reverse();
    if (!ours.length) throw new Error("That ticket has no reply of ours.");
    const choice = h("select", {}, ours.map((message) => h("option", { value: String(message.id) }, `${longTime(message.at)} · ${message.body_new.slice(0, 60)}`)));
    const chosen = await ask("Which reply?", "", "It did not arrive", [["reply", choice, "Reply"]]);
    return chosen && { kind: "bounce", reply_id: Number(chosen.reply), ...about };
  }, "The reply is marked: it did not arrive.");
}

export const notSpam = (item) => putRight(async () => ({ kind: "not_spam", inbound_id: item.id }), "It becomes a ticket in a moment.");

/** The buttons beside a ticket's title. hooks: {corrected()} */
export function ticketTasks(ticket, hooks) {
  if (ticket.merged_into) return null;
  const merge = () => putRight(async () => {
    const given = await ask("One matter", "This ticket becomes part of the other, and answers by its number for it.", "Merge", [["to", number(), "Into ticket"]]);
    return given && { kind: "merge", ticket_id: ticket.id, to_ticket_id: await ticketOf(given.to) };
  }, "The tickets are one.");
  const customer = () => putRight(async () => {
    const given = await ask("Who is the customer?", "Answers go there.", "Save", [
      ["name", h("input", { type: "text", autocomplete: "off" }), "Name"],
      ["address", h("input", { type: "email", required: true, autocomplete: "off" }), "Address"]]);
    return given && { kind: "customer", ticket_id: ticket.id, customer: given };
  }, "The customer is changed.");
  const button = (label, task) => h("button", { class: "quiet small", onclick: async () => { if (await task()) hooks.corrected(); } }, label);
  return h("div", { class: "tasks", role: "group", "aria-label": "Put right" }, button("Merge …", merge), button("Customer …", customer));
}

/** What was put right here and stands, each with its way back. */
export function correctionList(corrections, ticket, hooks) {
  const standing = corrections.filter((one) => !one.undone_at && DONE[one.kind]);
  if (!standing.length) return null;
  return h("ul", { class: "corrections", "aria-label": "Put right here" }, standing.map((one) => h("li", {},
    h("span", {}, h("strong", {}, one.made_by), ` ${DONE[one.kind](one, ticket.id)} · ${longTime(one.made_at)}`),
    h("button", {
      class: "quiet small", "aria-label": `Take back: ${one.made_by} ${DONE[one.kind](one, ticket.id)}`, onclick: async () => {
        try {
          await call("POST", `/corrections/${one.id}/undo`);
          toast("Taken back.");
        } catch (problem) {
          toast(problem.message, "bad");
        }
        hooks.corrected();
      },
    }, "Take back"))));
}
