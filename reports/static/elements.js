// element(name, attributes, ...children) makes an element; text goes in as text nodes, never as HTML.
// An attribute that is a function listens to the event of its name; null and false leave an attribute out.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key === "variables") for (const [variable, text] of Object.entries(value)) made.style.setProperty(variable, text);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const byId = (id) => document.getElementById(id);

const grouped = new Intl.NumberFormat("en-US");

// 1234567 -> "1,234,567"; BigInt as well.
const count = (n) => grouped.format(n);

const counted = (n, noun) => `${count(n)} ${noun}${Number(n) === 1 ? "" : "s"}`;

// A stage in its colour, with its name: colour is never the only code.
function stageChip(stage, text) {
  return element("span", { class: "stage", "data-stage": stage, title: stage }, text || stage);
}

// An edge's text with air around the sign that joins its lanes.
const edgeText = (edge) => edge.replace("~", " ~ ");
