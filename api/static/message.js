// One message of a thread: who, what it says, its files, why it was taken for what it is, and how far it is when it is ours.

import { call } from "./api.js";
import { messageTasks } from "./correct.js";
import { h, icon, linked } from "./dom.js";
import { evidenceTable, rulingsShown } from "./evidence.js";
import { exactTime, initials, longTime, nameOf, people, size, tone, withoutMark } from "./format.js";

const KINDS = {
  human: "written by a person", auto_generated: "written by a machine", bulk: "sent to many", auto_reply: "an automatic reply",
  bounce: "a bounce", delay: "a delay report", receipt: "a receipt", complaint: "a complaint report", spam: "spam",
};
const PLACED = {
  new: "It opened this ticket", in_reply_to: "It answers a message of this ticket", references: "It refers to a message of this ticket",
  signed_id: "It carries our signed id", token: "It came to this ticket’s address", marker: "It quotes our marker",
  provider_thread: "The provider keeps it in the same conversation", subject_number: "Its subject names the ticket",
};
/** What a browser shows in a text; of anything else there it has a broken picture. */
const SHOWN = new Set(["image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif"]);
const THUMB_BYTES = 5 * 1024 * 1024;

export function messageElement(message, ticket, hooks) {
  const outbound = message.direction === "outbound";
  const sender = outbound && message.author ? { name: message.author, address: message.sender.address } : message.sender;
  const details = h("div", { class: "details", hidden: true });
  const card = h("article", { class: `message ${message.direction} ${message.type}`, "data-id": String(message.id),
    "aria-label": `Message from ${nameOf(sender)}` },
    h("header", {},
      h("span", { class: `avatar tone-${tone(message.sender.address)}`, "aria-hidden": "true" }, initials(sender)),
      h("div", { class: "from" },
        h("div", {}, h("strong", {}, nameOf(sender)), " ",
          h("span", { class: "address" }, outbound ? `as ${message.sender.address}` : message.sender.name ? message.sender.address : ""),
          message.type === "note" && h("span", { class: "badge" }, "Note"),
          message.type === "auto_response" && h("span", { class: "badge" }, "Automatic answer")),
        h("div", { class: "to" }, message.to.length ? `to ${message.to.map(nameOf).join(", ")}` : "",
          message.cc.length ? ` · cc ${message.cc.map(nameOf).join(", ")}` : "")),
      h("time", { datetime: message.at, title: exactTime(message.at) }, longTime(message.at)),
      h("button", {
        class: "quiet small", "aria-expanded": "false",
        onclick: (event) => {
          details.hidden = !details.hidden;
          event.currentTarget.setAttribute("aria-expanded", String(!details.hidden));
          if (!details.childNodes.length) details.append(...detailsOf(message, card, hooks));
        },
      }, icon("info"), "Details")),
    details,
    message.unknown_sender && h("p", { class: "notice warn" }, icon("warn"),
      h("span", {}, h("strong", {}, "Unknown sender."), " The message belongs to this conversation, but its sender was no part of it. Answers do not go to that address by themselves.")),
    h("div", { class: "body" }, message.has_html && !outbound ? htmlBody(message) : textBody(message)),
    attachments(message),
    ...sending(message, hooks),
    ...message.bounces.map(bounce));
  return card;
}

function textBody(message) {
  const fresh = withoutMark(message.body_new);
  const whole = withoutMark(message.body_text);
  if (!whole) return h("p", { class: "muted" }, message.attachments.length ? "No text, only files." : "No text.");
  const isQuoting = fresh && fresh !== whole;
  return h("div", { class: "text", dir: "auto" }, linked(isQuoting ? fresh : whole),
    isQuoting && h("details", { class: "quoted" },
      h("summary", { title: "Quoted text", "aria-label": "Show quoted text" }, "•••"), h("div", {}, linked(whole))));
}

/** The mail in a frame that runs nothing: sandboxed, under a policy of its own, remote images off until asked for. */
function htmlBody(message) {
  const holder = h("div", { class: "mail" });
  const show = (withImages) => {
    const frame = h("iframe", {
      title: `Message from ${nameOf(message.sender)}`, loading: "lazy",
      sandbox: "allow-same-origin allow-popups allow-popups-to-escape-sandbox",
      src: `/v1/messages/${message.id}/view${withImages ? "?images=true" : ""}`,
    });
    const notice = h("p", { class: "notice", hidden: true }, icon("image"),
      h("span", {}, "Images from other servers are not shown: loading them tells the sender that you read this."),
      h("button", { class: "small", onclick: () => show(true) }, "Show images"));
    frame.addEventListener("load", () => {
      if (frame.contentDocument?.URL === "about:blank") return;
      const page = frame.contentDocument?.documentElement;
      if (!page?.dataset.remote) return holder.replaceChildren(unshown(() => show(withImages)));
      notice.hidden = withImages || page.dataset.remote === "0";
      const fit = () => (frame.style.height = `${frame.contentDocument.body.scrollHeight + 2}px`);
      new ResizeObserver(fit).observe(frame.contentDocument.body);
      fit();
      // Keys that are typed inside belong to the page.
      frame.contentDocument.addEventListener("keydown", (event) =>
        frame.dispatchEvent(new KeyboardEvent("keydown", { key: event.key, ctrlKey: event.ctrlKey, metaKey: event.metaKey, altKey: event.altKey, bubbles: true })));
    });
    holder.replaceChildren(notice, frame);
  };
  show(false);
  return holder;
}

/** In place of a frame, where a browser shows an answer of the API as if our server refused it. */
function unshown(again) {
  return h("p", { class: "notice bad" }, icon("warn"), h("span", {}, "The message can’t be shown just now."),
    h("button", { class: "small", onclick: again }, icon("again"), "Try again"));
}

function attachments(message) {
  const listed = message.attachments.filter((file) => !(file.inline && SHOWN.has(file.content_type)));
  if (!listed.length && !message.omitted_attachments.length) return null;
  return h("ul", { class: "files", "aria-label": "Attachments" },
    listed.map((file) => h("li", {}, h("a", { class: "file", href: `/v1/attachments/${file.id}/content`, download: file.file_name },
      file.content_type.startsWith("image/") && file.content_type !== "image/svg+xml" && file.size_bytes < THUMB_BYTES
        ? h("img", { src: `/v1/attachments/${file.id}/content`, alt: "", loading: "lazy" })
        : icon("file"),
      h("span", { class: "file-name" }, file.file_name), h("span", { class: "muted" }, size(file.size_bytes))))),
    message.omitted_attachments.map((file) => h("li", {}, h("span", { class: "file left-out", title: file.reason },
      icon("warn"), h("span", { class: "file-name" }, file.file_name), h("span", { class: "muted" }, `${size(file.size_bytes)}, not kept: ${file.reason}`)))));
}

function sending(message, hooks) {
  const state = message.sending;
  if (!state) return [];
  const retry = (label) => h("button", {
    class: "small", onclick: async ({ currentTarget: button }) => {
      button.disabled = true;
      await hooks.retry(message.id);
      button.disabled = false; // where that got through, another message stands here by now
    },
  }, icon("again"), label);
  const refused = state.refused_recipients.map((one) =>
    h("p", { class: "notice bad" }, icon("warn"), h("span", {}, h("strong", {}, one.address), ` was refused: ${one.code} ${one.reply}`)));
  if (state.status === "failed") {
    return [h("p", { class: "notice bad", role: "status" }, icon("warn"), h("span", {}, h("strong", {}, "Not sent."), ` ${state.error ?? ""}`), retry("Try again"))];
  }
  if (state.status === "unknown") {
    return [h("div", { class: "notice warn", role: "status" }, icon("warn"),
      h("div", {}, h("strong", {}, "It may have been sent, or not."),
        " The connection to the mail server broke off right after the message was handed over, and the Sent folder does not tell. ",
        "Nothing is sent again by itself, so that the customer does not get it twice. Ask the customer, look into the mailbox, or send it again.",
        state.error && h("div", { class: "muted" }, state.error)),
      retry("Send again"))];
  }
  const said = {
    pending: ["clock", state.error ? `Waits for another try: ${state.error}` : "Waits to be sent"],
    sending: ["send", "Is being sent"],
    sent: ["check", state.sent_at ? `Sent ${longTime(state.sent_at)}` : "Sent"],
  }[state.status];
  return [h("p", { class: `sent-state ${state.status}` }, icon(said[0]), said[1]), ...refused];
}

function bounce(report) {
  const what = { hard: "Could not be delivered", soft: "Was not delivered for now", delayed: "Delivery is delayed" }[report.kind];
  return h("div", { class: `notice ${report.kind === "delayed" ? "warn" : "bad"}` }, icon("warn"),
    h("div", {}, h("strong", {}, what), report.recipients.length ? ` to ${report.recipients.join(", ")}` : "",
      report.status && ` (${report.status})`, h("div", { class: "muted" }, report.diagnostic || "The report says no more.")));
}

function detailsOf(message, card, hooks) {
  const rows = [
    ["From", people([message.sender])], ["To", people(message.to)], ["Cc", people(message.cc)], ["Subject", message.subject],
    ["At", exactTime(message.at)], ["Message-ID", message.message_id_header], ["Written by", message.author],
    ["Placed", message.placed_by && (PLACED[message.placed_by] ?? message.placed_by.replaceAll("_", " "))],
    ["Marks", message.marks.join(", ")],
  ].filter(([, value]) => value);
  const verdict = message.verdict;
  const parts = [h("dl", {}, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))];
  if (verdict) {
    parts.push(h("div", { class: "verdict" },
      h("p", {}, "Taken for ", h("strong", {}, KINDS[verdict.kind] ?? verdict.kind), verdict.rule && [" by the rule ", h("code", {}, verdict.rule)],
        verdict.evidence.length ? ", because:" : "."),
      evidenceTable(verdict.evidence)));
  }
  parts.push(...rulingsShown(message.mail_rules));
  if (message.has_html) {
    const body = card.querySelector(".body");
    const button = h("button", {
      class: "small",
      onclick: () => {
        const isText = body.querySelector(".text");
        body.replaceChildren(isText ? htmlBody(message) : textBody(message));
        button.textContent = isText ? "Show as plain text" : "Show as HTML";
      },
    }, body.querySelector(".text") ? "Show as HTML" : "Show as plain text");
    parts.push(button);
  }
  parts.push(messageTasks(message, hooks));
  return parts;
}

export async function retry(id) {
  return call("POST", `/messages/${id}/retry`);
}
