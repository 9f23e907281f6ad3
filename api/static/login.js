// Logging in: by a key that is typed, or by a link that works once.

import { call } from "./api.js";
import { h } from "./dom.js";

/** Shows the log-in and resolves with the session once somebody is in. */
export function logIn(root, message = "") {
  return new Promise((resolve) => {
    const field = h("input", {
      id: "key", type: "password", name: "key", autocomplete: "current-password", required: true, spellcheck: "false",
      placeholder: "io_…",
    });
    const error = h("p", { class: "error", role: "alert" }, message);
    const button = h("button", { class: "primary", type: "submit" }, "Log in");
    const form = h(
      "form",
      {
        class: "login",
        onsubmit: async (event) => {
          event.preventDefault();
          button.disabled = true;
          try {
            resolve(await call("POST", "/session", { key: field.value.trim() }));
          } catch (problem) {
            error.textContent = problem.message;
            button.disabled = false;
            field.select();
          }
        },
      },
      h("img", { src: "/static/icon.svg", alt: "", width: "44", height: "44" }),
      h("h1", {}, "InboxOps"),
      h("p", { class: "muted" }, "Log in with your API key, or open a log-in link."),
      h("label", { for: "key" }, "API key"),
      field,
      error,
      button,
      h("p", { class: "hint" }, "An operator makes both: ", h("code", {}, "inboxops login-link --tenant NAME")),
    );
    root.replaceChildren(h("main", { class: "gate" }, form));
    field.focus();
  });
}

/** The session of the link in the address, if there is one; the address forgets it at once. */
export async function followLink() {
  const link = location.pathname === "/login" ? location.hash.slice(1) : "";
  if (location.pathname === "/login") history.replaceState(null, "", "/");
  return link ? call("POST", "/session", { link }) : null;
}
