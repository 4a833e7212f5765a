"""Schemas and rules of which random requests found that they differed from kube-apiserver 1.37.2, whose answers these are."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.schema import cel
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.structure import schema_errors
from tenantry.kube.schema.validate import validate
from tests.kube.definitions import B, I, N, S, obj_schema

DURATION, TIME, BYTES = ({**S, "format": name} for name in ("duration", "date-time", "byte"))
FIELDS = obj_schema(
    du=DURATION, d=TIME, by=BYTES, n=N, t=S, ls={"type": "array", "items": S}, m={"type": "object", "additionalProperties": S}
)
NO_LIST = "internal error: interface conversion: *types.Err is not traits.Lister: missing method Add"


def evaluated(expression: str, **fields: Any) -> Any:
    convert = cel.converter(from_openapi(FIELDS))
    assert convert is not None
    return cel.Program(expression).run(convert(fields, {}))


def error_of(expression: str, **fields: Any) -> str:
    with pytest.raises(cel.CelError) as raised:
        evaluated(expression, **fields)
    return str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("2 weeks", "1209600s"), ("1.5 days", "432000s"), ("1 hour and 5 minutes", "3900s"), ("-5m", "-300s"), ("3 sec", "3s")],
)
def test_durations_in_words(text: str, shown: str) -> None:
    assert evaluated("string(self.du)", du=text) == shown


@pytest.mark.parametrize(
    ("expression", "time", "shown"),
    [
        ("string(self.d)", "2020-06-15T10:00:00-05:00", "2020-06-15T10:00:00-05:00"),
        ("string(self.d + duration('1h'))", "2020-06-15T10:00:00.120+05:30", "2020-06-15T11:00:00.12+05:30"),
        ("string(self.d.getHours())", "2020-06-15T10:00:00-05:00", "15"),
        ("string(self.d)", "0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("string(self.d.getFullYear())", "0000-02-29T00:00:00Z", "0"),
        ("string(self.d == timestamp('2020-06-15T15:00:00Z'))", "2020-06-15T10:00:00-05:00", "true"),
        ("string(timestamp('2024-01-01T00:00:00,5Z'))", "2020-01-01T00:00:00Z", "2024-01-01T00:00:00.5Z"),
        ("string(timestamp('0001-01-01T00:00:00Z').getDayOfWeek('America/New_York'))", "2020-01-01T00:00:00Z", "0"),
    ],
)
def test_times_keep_their_zone_and_may_be_of_year_0(expression: str, time: str, shown: str) -> None:
    assert evaluated(expression, d=time) == shown


@pytest.mark.parametrize(
    ("field", "text", "error"),
    [
        ("d", "2026-01-01T10:00:00x5Z", 'Invalid date-time formatted string {}: parsing time "{}": extra text: "x5Z"'),
        ("d", "2026-01-01T10:00:00ZTx", 'Invalid date-time formatted string {}: parsing time "{}": extra text: "ZTx"'),
        (
            "d",
            "2026-01-01t10:00:00z",
            'Invalid date-time formatted string {}: parsing time "{}" as "2006-01-02T15:04:05": cannot parse "t10:00:00z" as "T"',
        ),
        ("by", "/w==", "Invalid byte formatted string {}: illegal base64 data at input byte 0"),
        ("by", "YW+j", "Invalid byte formatted string {}: illegal base64 data at input byte 2"),
    ],
)
@pytest.mark.parametrize("use", ["self.{}", "has(self.{})", "self.?{}", "[self.{}]", "self.{} == self.{}"])
def test_what_has_its_format_but_cannot_be_read(field: str, text: str, error: str, use: str) -> None:
    assert error_of(use.replace("{}", field), **{field: text}) == error.replace("{}", text)
    assert evaluated("self.t", **{field: text, "t": "a"}) == "a"


@pytest.mark.parametrize(
    ("number", "shown"),
    [(12345678.9, "1.23456789e+07"), (1e6, "1e+06"), (100000.0, "100000"), (1e-5, "1e-05"), (1e21, "1e+21"), (0.0001, "0.0001")],
)
def test_doubles_as_texts(number: float, shown: str) -> None:
    assert evaluated("string(self.n)", n=number) == evaluated("'%s'.format([self.n])", n=number) == shown


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("duration('-1.5s').getMilliseconds()", -1500),
        ("optional.ofNonZeroValue(duration('0s')).hasValue()", False),
        ("optional.ofNonZeroValue(timestamp('0001-01-01T00:00:00Z')).hasValue()", False),
        ("optional.ofNonZeroValue(timestamp(0)).hasValue()", True),
        ("self.zz in []", False),
        *((f"quantity('{text}').isInteger()", True) for text in ("5.", "1k", "1e18", "9Ti", "0")),
        *((f"quantity('{text}').isInteger()", False) for text in ("5.0", "1000m", "1.5Ki", "1Ei", "1Pi", "0m", "1e19")),
        ("quantity('0.5').add(quantity('0.5')).isInteger()", False),
        ("quantity('1.5').sub(quantity('1.5')).add(1).isInteger()", True),
        ("quantity('0m').add(5).asInteger()", 5),
        ("quantity('1').add(1) == quantity('2')", True),
    ],
)
def test_values(expression: str, value: Any) -> None:
    assert evaluated(expression) == value


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("quantity('2') == quantity('1').add(1)", "no such overload"),
        ("quantity('1000m').asInteger()", "cannot convert value to integer"),
        ("cidr('10.0.0.0/8').containsIP('x')", "no such overload"),
        ("self.t.substring(3, 1)", "invalid substring range. start: 3, end: 1"),
        ("timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')", "integer overflow"),
        ("semver('é', true)", 'Invalid character(s) found in major number "0é"'),
        ("self.zz.sort()", NO_LIST),
        ("true || [self.zz].distinct() == []", ""),
        ("[self.zz].distinct() == [] || true", NO_LIST),
        ("self.ls.sortBy(x, self.zz)", NO_LIST),
    ],
)
def test_errors(expression: str, error: str) -> None:
    if error:
        assert error_of(expression, t="abc", ls=["a"]) == error
    else:
        assert evaluated(expression, t="abc", ls=["a"]) is True


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10.0.", 'IPv4 field must have at least one digit (at ".")'),
        ("1..2.3", 'IPv4 field must have at least one digit (at ".2.3")'),
        ("1.2.3", "IPv4 address too short"),
        ("1.2.3.4.5", "IPv4 address too long"),
        (":", 'each colon-separated field must have at least one digit (at ":")'),
        ("1:", 'colon must be followed by more characters (at ":")'),
        ("1::2::3", 'multiple :: in address (at ":3")'),
        ("::12345", 'each group must have 4 or less digits (at "12345")'),
        ("::1.2.3", "IPv4 address too short"),
        ("::1.2.3.256", "IPv4 field has value >255"),
        ("1:2:3:4:5:6:7:8:9", 'trailing garbage after address (at "9")'),
        ("1:2:3:4:5:6:7:1.2.3.4", 'embedded IPv4 address must replace the final 2 fields of the address (at "1.2.3.4")'),
        ("1:2:3:4::5:6:7:8", "the :: must expand to at least one field of zeros"),
        ("1:2", "address string too short"),
    ],
)
def test_why_a_text_is_no_address(text: str, problem: str) -> None:
    expected = f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): {problem}'
    assert error_of("ip(self.t)", t=text) == expected


def texts(schema: Any, value: Any) -> list[str]:
    return [f"{error.field}: {error.text}" for error in validate({"f": value}, from_openapi(obj_schema(f=schema)))]


@pytest.mark.parametrize(
    ("schema", "value", "name", "shown"),
    [
        (I | {"format": "int32"}, True, "int32", ""),
        (I | {"format": "int64"}, {}, "int64", ""),
        (N | {"format": "double"}, {"a": 1}, "double", ""),
        (TIME, False, "date-time", ""),
        (TIME, 5, "date-time", "int64"),
        (I | {"format": "nope"}, True, "integer", "boolean"),
        (S | {"format": "nope"}, 5, "string", "integer"),
        (B | {"format": "int32"}, 5, "boolean", "integer"),
        (I | {"format": "int32"}, "x", "integer", "string"),
    ],
)
def test_a_wrong_type_where_there_is_a_format(schema: Any, value: Any, name: str, shown: str) -> None:
    assert texts(schema, value) == [f'f: Invalid value: "{shown}": f in body must be of type {name}: "{shown}"']


def test_a_list_passes_for_a_text_with_a_format() -> None:
    assert texts(TIME, ["x"]) == []
    assert texts(S, ["x"]) == ['f: Invalid value: "array": f in body must be of type string: "array"']


@pytest.mark.parametrize(
    ("bound", "value", "text"),
    [
        ({"maximum": 1000000}, 3000000.5, "3.0000005e+06: f in body should be less than or equal to 1e+06"),
        ({"maximum": 1000000}, 3000000, "3000000: f in body should be less than or equal to 1000000"),
        ({"minimum": 12345678}, 1.01, "1.01: f in body should be greater than or equal to 1.2345678e+07"),
        ({"multipleOf": 0.01}, 1e20, "1e+20: f in body should be a multiple of 0.01"),
    ],
)
def test_numbers_beside_bounds(bound: Any, value: float, text: str) -> None:
    assert texts(N | bound, value) == [f"f: Invalid value: {text}"]


def test_lists_in_maps_have_the_key_in_brackets() -> None:
    items = obj_schema("k", k=S)
    keyed = {"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = from_openapi({"type": "object", "additionalProperties": keyed})
    errors = validate({"x": [{"k": "a"}, {"k": "a"}], "y": [None, {}, None]}, schema)
    assert [(e.field, e.text) for e in errors if e.kind == "Duplicate"] == [
        ("[x][1]", 'Duplicate value: {"k":"a"}'),
        ("[y][1]", "Duplicate value: {}"),
    ]


def test_items_of_a_map_list_are_objects() -> None:
    keyed = {"type": "array", "items": obj_schema(k=S), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    assert texts(keyed, [None, [1e20], "s"])[-1:] == [
        "f[1]: Invalid value: [100000000000000000000]: must be an object for an array of list-type map"
    ]


def test_false_does_not_excuse_0() -> None:
    schema = from_openapi(obj_schema(f=B))
    assert len(validate({"f": 0}, schema, old={"f": False})) == 1
    assert validate({"f": 0}, schema, old={"f": 0}) == []


def test_a_status_is_validated_alone() -> None:
    schema = from_openapi(obj_schema(spec=obj_schema("r", r=S), status=obj_schema(x=I)))
    errors = validate({"spec": {}, "status": {"x": "a"}}, schema, old={"spec": {}}, part="status")
    wrong = 'Invalid value: "string": x in body must be of type integer: "string"'
    assert [(error.field, error.text) for error in errors] == [("status.x", wrong)]


def test_an_int_or_string_has_no_fields() -> None:
    value = {"f": {"a": 1}, "g": [{"b": 1}]}
    int_or_string = {"x-kubernetes-int-or-string": True}
    schema = from_openapi(obj_schema(f=int_or_string, g={"type": "array", "items": int_or_string}))
    assert prune(value, schema) == ["f.a", "g[0].b"] and value == {"f": {}, "g": [{}]}


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (obj_schema(e=obj_schema("d", d=I | {"default": 3})) | {"default": {"e": {}}}, ["f.default.e.d"]),
        (obj_schema(d=S | {"minLength": 2, "default": "b"}) | {"default": {}}, ["f.properties[d].default"]),
        ({"type": "array", "items": I | {"maximum": 3}, "default": [5]}, ["f.default.[0]"]),
        ({"type": "array", "items": S, "x-kubernetes-list-type": "set", "default": ["a", "a"]}, []),
        ({"type": "object", "additionalProperties": S | {"maxLength": 1, "default": "long"}}, []),
    ],
)
def test_defaults(schema: Any, fields: list[str]) -> None:
    prefix = "s.properties[f]"
    assert [e.field for e in schema_errors(obj_schema(f=schema), "s")] == [field.replace("f", prefix, 1) for field in fields]
