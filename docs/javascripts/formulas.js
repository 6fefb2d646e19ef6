// Formulas as MathML, which browsers draw themselves: no fonts, no style sheet, nothing from elsewhere.
for (const one of document.querySelectorAll(".arithmatex")) {
  const text = one.textContent.trim();
  katex.render(text.slice(2, -2), one, { displayMode: text.startsWith("\\["), output: "mathml" });
}
