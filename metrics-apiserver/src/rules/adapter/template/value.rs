//! The values that a template computes with, and their Go types.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::fields::Fields;

/// A value. Cloning is cheap.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// Go's nil, and the value of a key that a map does not have.
    Nil,
    Bool(bool),
    Int(i64),
    /// A byte of a string: Go's `uint8`.
    Byte(u8),
    Float(f64),
    Text(Text<'a>),
    /// A part of a slice: the elements up to the slice's capacity, and its length.
    List(&'a [String], usize),
    Map(&'a BTreeMap<String, String>),
    Fields(&'a Fields),
}

/// A string, which in Go holds any bytes.
#[derive(Debug, Clone)]
pub(super) enum Text<'a> {
    Given(&'a [u8]),
    Made(Rc<[u8]>),
}

impl Text<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Made(bytes) => bytes,
        }
    }
}

impl<'a> Value<'a> {
    /// A string that is there already.
    pub(super) fn given(text: &'a str) -> Self {
        Self::Text(Text::Given(text.as_bytes()))
    }

    /// A string that was made just now.
    pub(super) fn made(text: Vec<u8>) -> Self {
        Self::Text(Text::Made(text.into()))
    }

    /// The elements of a list; none of any other value.
    pub(super) fn elements(&self) -> &'a [String] {
        match self {
            Self::List(elements, length) => elements.get(..*length).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The bytes of a string; none of any other value.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.bytes()),
            _ => None,
        }
    }

    /// Whether it counts as true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Byte(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.bytes().is_empty(),
            Self::List(_, length) => *length > 0,
            Self::Map(map) => !map.is_empty(),
            Self::Fields(_) => true,
        }
    }

    /// The name of its Go type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(..) => "[]string",
            Self::Map(_) => "map[string]string",
            Self::Fields(Fields::Query(_)) => "naming.queryTemplateArgs",
            Self::Fields(Fields::Label(_)) => "schema.GroupResource",
        }
    }

    /// How much work it is to read it, in steps.
    pub(super) fn steps(&self) -> usize {
        /// A step takes about as long as copying so many bytes.
        const BYTES: usize = 16;
        self.text().map_or(0, <[u8]>::len) / BYTES
    }

    /// The field or key of this name.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        let field = match (self, name) {
            // Go lets nil have any field.
            (Self::Nil, _) => Some(Self::Nil),
            (Self::Map(map), _) => Some(map.get(name).map_or(Self::Nil, |value| Self::given(value))),
            (Self::Fields(Fields::Query(fields)), "Series") => Some(Self::given(&fields.series)),
            (Self::Fields(Fields::Query(fields)), "LabelMatchers") => {
                Some(Self::given(&fields.label_matchers))
            }
            (Self::Fields(Fields::Query(fields)), "LabelValuesByName") => {
                Some(Self::Map(&fields.label_values_by_name))
            }
            (Self::Fields(Fields::Query(fields)), "GroupBy") => Some(Self::given(&fields.group_by)),
            (Self::Fields(Fields::Query(fields)), "GroupBySlice") => {
                Some(Self::List(&fields.group_by_slice, fields.group_by_slice.len()))
            }
            (Self::Fields(Fields::Label(fields)), "Group") => Some(Self::given(&fields.group)),
            (Self::Fields(Fields::Label(fields)), "Resource") => Some(Self::given(&fields.resource)),
            _ => None,
        };
        field.ok_or_else(|| match self {
            Self::Fields(Fields::Query(_)) => format!(
                "there is no field .{name}; the fields are .Series, .LabelMatchers, .LabelValuesByName, .GroupBy and \
                 .GroupBySlice"
            ),
            Self::Fields(Fields::Label(_)) => {
                format!("there is no field .{name}; the fields are .Group and .Resource")
            }
            _ => format!("a {} has no field .{name}", self.type_name()),
        })
    }
}
