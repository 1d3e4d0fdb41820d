// The little Markdown of text widgets, made of elements: nothing in it is ever read as HTML.
import { element } from "./elements.js";

const INLINE = /(\*\*[^*]+\*\*|\*[^*]+\*|`[^`]+`|\[[^\]]+\]\([^)\s]+\))/;

function inline(text) {
  return text.split(INLINE).map((part) => {
    if (part.startsWith("**") && part.length > 4) return element("strong", {}, inline(part.slice(2, -2)));
    if (part.startsWith("`") && part.length > 2) return element("code", { text: part.slice(1, -1) });
    if (part.startsWith("*") && part.length > 2) return element("em", { text: part.slice(1, -1) });
    const link = /^\[([^\]]+)\]\((https?:\/\/[^)\s]+)\)$/.exec(part);
    if (link) return element("a", { href: link[2], text: link[1], rel: "noreferrer", target: "_blank" });
    return document.createTextNode(part);
  });
}

export function markdown(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const heading = /^(#{1,6}) (.*)$/.exec(line);
    if (heading) return element(`h${heading[1].length}`, {}, inline(heading[2]));
    const item = /^[-*] (.*)$/.exec(line);
    return item ? element("li", {}, inline(item[1])) : element("p", {}, inline(line));
  });
}
