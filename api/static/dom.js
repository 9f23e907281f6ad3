// Elements from values. Text is always text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/** h("button", {class: "quiet", onclick: f}, "Label", child, null). A property that is null or false is left out. */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SHAPES = {
  inbox: "M4 13h4l2 3h4l2-3h4M4 13l2.5-8h11L20 13v6H4z",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2",
  check: "M5 12.5l4.5 4.5L19 7.5",
  stack: "M4 7h16M4 12h16M4 17h16",
  shield: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM12 9v4M12 16v.01",
  pause: "M9 6v12M15 6v12",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20",
  back: "M14 6l-6 6 6 6",
  clip: "M8 12l5.5-5.5a3 3 0 0 1 4.3 4.3l-7.3 7.3a5 5 0 0 1-7-7L11 3.6",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  close: "M6 6l12 12M18 6L6 18",
  reply: "M10 7L4 12l6 5v-3c5 0 8 1 10 5 0-6-3-9-10-9z",
  send: "M4 12l16-8-5 16-3.5-6.5z",
  info: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 11v5M12 8v.01",
  warn: "M12 4l9 16H3zM12 10v4M12 17v.01",
  moon: "M19 14.5A7.5 7.5 0 0 1 9.5 5 7.5 7.5 0 1 0 19 14.5z",
  keys: "M4 7h16v10H4zM7 10h.01M11 10h.01M15 10h.01M8 14h8",
  leave: "M10 5H5v14h5M14 8l4 4-4 4M9 12h9",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  again: "M19 8a8 8 0 1 0 1 4M20 4v4h-4",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  svg.append(path);
  return svg;
}

/** A text with its web addresses as links. */
export function linked(text) {
  return text.split(/(\bhttps?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]])/g).map((piece, number) =>
    number % 2 ? h("a", { href: piece, target: "_blank", rel: "noopener noreferrer" }, piece) : piece,
  );
}

let announcing;

/** Say something in passing, to eyes and to screen readers. */
export function toast(text, tone = "") {
  const region = document.querySelector("#toasts") ?? document.body.appendChild(h("div", { id: "toasts", role: "status" }));
  region.replaceChildren(h("p", { class: `toast ${tone}` }, text));
  clearTimeout(announcing);
  announcing = setTimeout(() => region.replaceChildren(), 5000);
}
