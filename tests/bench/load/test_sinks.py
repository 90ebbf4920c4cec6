from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bench.load.sinks import AckSink, Counter


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[begin:end] for begin, end in pairwise(edges)]


class CounterTests(SynchronousTestCase):
    @given(st.integers(0, 5), st.lists(st.integers(0, 300)))
    def test_markers_are_counted_wherever_chunks_are_cut(self, number: int, places: list[int]) -> None:
        counts: list[int] = []
        counter = Counter(b"</body>", counts.append)
        for chunk in cut(b"<body>hello</body> " * number, places):
            counter(chunk)
        self.assertEqual(sum(counts), number)
        self.assertNotIn(0, counts)

    def test_error_stanzas_are_told(self) -> None:
        errors: list[bytes] = []
        counter = Counter(b"</body>", lambda count: None, errors.append)
        counter(b"<message><body>an error</body></message>")
        counter(b"<message type='error'/>")
        self.assertEqual(errors, [b"<message type='error'/>"])


class AckSinkTests(SynchronousTestCase):
    @given(st.lists(st.integers(0, 300)))
    def test_requests_are_answered_with_the_stanzas_before(self, places: list[int]) -> None:
        answers: list[bytes] = []
        sink = AckSink(answers.append)
        data = b"<message><body>a</body></message><presence/><iq id='1'></iq><r xmlns='urn:xmpp:sm:3'/>"
        for chunk in cut(data, places):
            sink(chunk)
        self.assertEqual(answers, [b"<a xmlns='urn:xmpp:sm:3' h='3'/>"])

    def test_everything_goes_on_to_the_inner_sink(self) -> None:
        seen: list[bytes] = []
        sink = AckSink(lambda data: None)
        sink.inner = seen.append
        sink(b"<a h='1'/><pres")
        sink(b"ence/>")
        self.assertEqual((b"".join(seen), sink.acks), (b"<a h='1'/><presence/>", 1))
