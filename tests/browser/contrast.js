// The texts of a page with less contrast than WCAG 2.2 demands at level AA (1.4.3), with what they have.
(() => {
  const channels = (colour) => {
    const [red, green, blue, alpha = 1] = colour.match(/-?[\d.]+(e-?\d+)?/g).map(Number);
    const scale = colour.startsWith("color(") ? 1 : 255;
    return [red / scale, green / scale, blue / scale, alpha];
  };
  const luminance = ([red, green, blue]) => {
    const linear = [red, green, blue].map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found[3] === 1) return found;
    }
    return [1, 1, 1, 1];
  };
  const contrast = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const poor = [];
  let looked = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || element.closest("svg")) continue;
    looked += 1;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = contrast(channels(style.color), background(element));
    if (found < (large ? 3 : 4.5)) poor.push(`${found.toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  return { looked, poor };
})()
