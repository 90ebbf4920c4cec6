"""Data forms as they are submitted to us and written by us."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from xmppd.core.errors import StanzaError
from xmppd.xml import forms, tree

MAM = "urn:xmpp:mam:2"
FORM_TYPE = "<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>"


def query(content: str) -> tree.Element:
    return tree.parse(f"<query xmlns='urn:xmpp:mam:2'>{content}</query>".encode())


def form(fields: str, kind: str = "submit") -> tree.Element:
    return query(f"<x xmlns='jabber:x:data' type='{kind}'>{fields}</x>")


class SubmittedTests(TestCase):
    """What a request submits."""

    def test_values_by_name(self) -> None:
        element = form(
            FORM_TYPE
            + "<field var='with'><value>juliet@example.org</value></field>"
            + "<field var='ids'><value>1</value><value>2</value></field><field var='end'/>"
        )
        self.assertEqual(
            forms.submitted(element, MAM), {"with": ["juliet@example.org"], "ids": ["1", "2"], "end": []}
        )

    def test_no_form(self) -> None:
        self.assertIsNone(forms.submitted(query("<set xmlns='http://jabber.org/protocol/rsm'/>"), MAM))

    def test_form_type_without_its_own_type(self) -> None:
        element = form(FORM_TYPE.replace(" type='hidden'", "") + "<field var='a'><value>1</value></field>")
        self.assertEqual(forms.submitted(element, MAM), {"a": ["1"]})

    def refuse(self, element: tree.Element) -> None:
        problem = self.assertRaises(StanzaError, forms.submitted, element, MAM)
        self.assertEqual(problem.condition, "bad-request")

    def test_another_form_type(self) -> None:
        self.refuse(form(FORM_TYPE.replace("mam:2", "mam:1")))

    def test_no_form_type(self) -> None:
        self.refuse(form("<field var='with'><value>juliet@example.org</value></field>"))

    def test_a_form_that_is_not_submitted(self) -> None:
        for kind in ("form", "result", "cancel", ""):
            self.refuse(form(FORM_TYPE, kind))

    def test_a_field_twice(self) -> None:
        self.refuse(form(FORM_TYPE + "<field var='with'/>" * 2))

    def test_a_field_without_name(self) -> None:
        self.refuse(form(FORM_TYPE + "<field><value>1</value></field>"))

    def test_an_option_without_value(self) -> None:
        self.refuse(form(FORM_TYPE + "<field var='a'><option/></field>"))

    def test_several_forms(self) -> None:
        self.refuse(query(f"<x xmlns='jabber:x:data' type='submit'>{FORM_TYPE}</x>" * 2))


class ResultTests(TestCase):
    """Forms of type result."""

    def test_on_the_wire(self) -> None:
        self.assertEqual(
            forms.write(forms.result_form("urn:example", [("a", ("1", "2")), ("b", ("&",))])),
            b"<x xmlns='jabber:x:data' type='result'>"
            b"<field type='hidden' var='FORM_TYPE'><value>urn:example</value></field>"
            b"<field var='a'><value>1</value><value>2</value></field>"
            b"<field var='b'><value>&amp;</value></field></x>",
        )

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)))
    def test_values_come_back(self, values: list[str]) -> None:
        values = [value for value in values if "\ufffe" not in value and "\uffff" not in value]
        xml = forms.write(forms.result_form("urn:example", [("a", tuple(values))]))
        again = forms.Form.fromElement(tree.parse(xml))
        self.assertEqual(again.fields["a"].values, values)
