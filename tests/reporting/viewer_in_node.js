// node viewer_in_node.js report.html [cell]: runs the page's viewer on a document that knows as much of a browser's as the viewer
// uses, chooses the cell, and prints the elements of #shown as JSON: [tag, attributes, own text].
"use strict";
const fs = require("fs");

const [, , file, cell] = process.argv;
const scripts = [...fs.readFileSync(file, "utf-8").matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map((found) => found[1]);

class Element {
  constructor(tag) {
    Object.assign(this, { tag, attributes: {}, children: [], listeners: {}, chosen: null, clientWidth: 700 });
  }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  append(...children) { this.children.push(...children.map((child) => (child instanceof Element ? child : String(child)))); }
  replaceChildren(...children) { this.children = []; this.chosen = null; this.append(...children); }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  get options() { return this.children; }
  get value() { return this.chosen ?? this.children[0]?.attributes.value ?? ""; }
  set value(value) { this.chosen = value; }
  get text() { return this.children.filter((child) => typeof child === "string").join(""); }
  *all() {
    for (const child of this.children.filter((child) => child instanceof Element)) {
      yield child;
      yield* child.all();
    }
  }
}

const elements = {};
globalThis.document = {
  addEventListener: () => {},
  getElementById: (id) => (elements[id] ??= new Element("div")),
  createElement: (tag) => new Element(tag),
  createElementNS: (_, tag) => new Element(tag),
};
document.getElementById("data").textContent = scripts[0];
eval(scripts[1]);
if (cell) {
  elements["pick-cell"].value = cell;
  elements["pick-cell"].listeners.change();
}
const shown = [...elements.shown.all()].map((element) => [element.tag, element.attributes, element.text]);
console.log(JSON.stringify({ cell: elements["pick-cell"].value, shown }));
