"""Data forms (XEP-0004) with standardised fields (XEP-0068): what is submitted, and what we write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xmppd.core import ns
from xmppd.core.errors import StanzaError
from xmppd.xml import tree
from xmppd.xml.wokkel import Field, Form, FormError, Option

__all__ = ["Field", "Form", "Option", "result_form", "submitted", "write"]

_FORM_TYPE = "FORM_TYPE"


def submitted(parent: tree.Element, form_type: str) -> Mapping[str, list[str]] | None:
    """The fields of the form that a request submits: values by name, ``FORM_TYPE`` left out.

    :param parent: the payload of the request.
    :param form_type: what the form's fields belong to (XEP-0068).
    :returns: None where the request has no form.
    :raises StanzaError: ``bad-request`` for several forms, another type of form, a field that is there
        twice or has no name.
    """
    found = [child for child in parent.elements() if (child.uri, child.name) == (ns.DATA, "x")]
    if not found:
        return None
    if len(found) > 1:
        raise StanzaError("bad-request", "More than one form")
    form = _read(found[0])
    if form.formType != "submit":
        raise StanzaError("bad-request", "A form of type 'submit' is expected")
    if _form_type(form) != form_type:
        raise StanzaError("bad-request", f"A form with FORM_TYPE {form_type} is expected")
    if any(field.var is None for field in form.fieldList if field.fieldType != "fixed"):
        raise StanzaError("bad-request", "A field without a name")
    return {name: field.values for name, field in form.fields.items() if name != _FORM_TYPE}


def _read(element: tree.Element) -> Any:
    try:
        return Form.fromElement(element)
    except FormError as problem:
        raise StanzaError(
            "bad-request", "The form has a field twice, or an option without value"
        ) from problem


def _form_type(form: Any) -> str | None:
    """The FORM_TYPE; wokkel finds it in a hidden field only, but what is submitted may leave types out."""
    field = form.fields.get(_FORM_TYPE)
    value: str | None = form.formNamespace if field is None else field.value
    return value


def result_form(form_type: str, fields: Iterable[tuple[str, tuple[str, ...]]]) -> Any:
    """A form of type ``result``: each field by name and values, without a type of its own."""
    listed = [Field(None, name, values=list(values)) for name, values in fields]
    return Form("result", formNamespace=form_type, fields=listed)


def write(form: Any) -> bytes:
    """The bytes of a form."""
    return tree.write(form.toElement())
