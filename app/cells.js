// A cell is edited where it stands: a click or Enter opens it, Enter or a choice from the list saves, Escape leaves it.
const refocus = {};
const edit = cell => {
  const shown = cell.innerHTML, field = document.createElement('input');
  let open = true;
  const leave = () => {
    if (!open) return;
    open = false;  // what takes the field away blurs it, which leads here again
    cell.innerHTML = shown;
    cell.querySelector('[data-edit]').focus();
  };
  const save = () => {
    if (!field.value.trim()) return leave();
    open = false;
    Object.assign(refocus, {id: cell.dataset.id, property: cell.dataset.property});
    field.disabled = true;
    trigger('act', {do: 'edit', id: cell.dataset.id, property: cell.dataset.property, value: field.value});
  };
  field.setAttribute('list', cell.dataset.list);
  field.setAttribute('aria-label', cell.dataset.property);
  field.placeholder = cell.dataset.value;
  field.addEventListener('keydown', event => {
    event.stopPropagation();
    if (event.key === 'Enter') save();
    if (event.key === 'Escape') leave();
  });
  field.addEventListener('input', event => { if (!event.inputType || event.inputType === 'insertReplacementText') save(); });
  field.addEventListener('blur', leave);
  cell.replaceChildren(field);
  field.focus();
};
element.addEventListener('click', event => {
  const cell = event.target.closest('[data-edit]')?.closest('[data-list]');
  if (cell && element.contains(cell)) edit(cell);
});
new MutationObserver(() => {
  if (!refocus.id || element.querySelector('[data-list] input')) return;
  const cell = [...element.querySelectorAll('[data-list]')].find(
    one => one.dataset.id === refocus.id && one.dataset.property === refocus.property);
  refocus.id = null;
  cell?.querySelector('[data-edit]')?.focus({preventScroll: true});
}).observe(element, {childList: true, subtree: true});
