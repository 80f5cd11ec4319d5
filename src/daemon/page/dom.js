// @ts-check
/** Elements of the page, found and made. Texts become text nodes, never HTML. */

/** @param {string} id @returns {any} */
export const element = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {{text?: string, className?: string, title?: string}} [options]
 * @param {...(Node | string)} children
 */
export function make(tag, { text, className, title } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className !== undefined) made.className = className;
  if (title !== undefined) made.title = title;
  made.append(...children);
  return made;
}

/** Sets a text only if it is another one: what is selected stays so, and nobody is read the same twice. @param {HTMLElement} place @param {string} text */
export function put(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Of a button that keeps the focus while it does nothing. @param {HTMLElement} button @param {boolean} isUsable */
export function setUsable(button, isUsable) {
  button.setAttribute('aria-disabled', String(!isUsable));
}

/** @param {HTMLElement} button @param {() => void} action */
export function onPress(button, action) {
  button.addEventListener('click', () => {
    if (button.getAttribute('aria-disabled') !== 'true') action();
  });
}
