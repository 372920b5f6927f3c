//! The functions that Go's `text/template` has from the start.

use std::cmp::Ordering;
use std::fmt::Write;

use super::super::quote::is_printable;
use super::fields::Fields;
use super::flags::MAX_OUTPUT;
use super::format::Printer;
use super::printf::printf;
use super::value::{Text, Value};

/// Defines [`Builtin`] from one row per function: its name, and the fewest and most arguments.
macro_rules! builtins {
    ($($name:ident $text:literal $least:literal $most:expr,)*) => {
        /// A function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Builtin {
            $($name,)*
        }

        impl Builtin {
            /// The function of this name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its name.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The fewest and most arguments.
            const fn counts(self) -> (usize, usize) {
                match self {
                    $(Self::$name => ($least, $most),)*
                }
            }
        }
    };
}

/// Any number of arguments.
const ANY: usize = usize::MAX;

builtins! {
    And "and" 1 ANY,
    Call "call" 1 ANY,
    Html "html" 0 ANY,
    Index "index" 1 ANY,
    Slice "slice" 1 ANY,
    Js "js" 0 ANY,
    Len "len" 1 1,
    Not "not" 1 1,
    Or "or" 1 ANY,
    Print "print" 0 ANY,
    Printf "printf" 1 ANY,
    Println "println" 0 ANY,
    UrlQuery "urlquery" 0 ANY,
    Eq "eq" 1 ANY,
    Ge "ge" 2 2,
    Gt "gt" 2 2,
    Le "le" 2 2,
    Lt "lt" 2 2,
    Ne "ne" 2 2,
}

impl Builtin {
    /// Whether it can take so many arguments.
    pub(super) fn check_count(self, count: usize) -> Result<(), String> {
        let (least, most) = self.counts();
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let wanted = if most == ANY { format!("at least {least}") } else { least.to_string() };
        Err(format!("{} needs {wanted} arguments, not {count}", self.name()))
    }

    /// The result of a call with as many arguments as it can take.
    pub(super) fn call<'a>(self, arguments: &[Value<'a>]) -> Result<Value<'a>, String> {
        let (first, rest) = arguments.split_first().unwrap_or((&Value::Nil, &[]));
        let second = rest.first().unwrap_or(&Value::Nil);
        Ok(match self {
            // The caller stops at the first argument that decides; this is what is left.
            Self::And => arguments.iter().find(|value| !value.is_true()).or(arguments.last()).cloned(),
            Self::Or => arguments.iter().find(|value| value.is_true()).or(arguments.last()).cloned(),
            Self::Call => {
                return Err(format!("a {} is not a function, so it cannot be called", first.type_name()));
            }
            Self::Html => Some(escaped(arguments, html)?),
            Self::Js => Some(escaped(arguments, js)?),
            Self::UrlQuery => Some(escaped(arguments, url_query)?),
            Self::Index => Some(index(first, rest)?),
            Self::Slice => Some(slice(first, rest)?),
            Self::Len => Some(length(first)?),
            Self::Not => Some(Value::Bool(!first.is_true())),
            Self::Print => Some(printed(|printer| printer.print(arguments))?),
            Self::Println => Some(printed(|printer| printer.println(arguments))?),
            Self::Printf => {
                let format = first.text().ok_or_else(|| {
                    format!("the first argument of printf must be a string, not a {}", first.type_name())
                })?;
                Some(Value::made(printf(format, rest).ok_or_else(too_long)?))
            }
            Self::Eq if rest.is_empty() => return Err("eq needs a second argument".to_owned()),
            Self::Eq => Some(Value::Bool(equal_to_any(first, rest)?)),
            Self::Ne => Some(Value::Bool(!equal_to_any(first, rest)?)),
            Self::Lt => Some(Value::Bool(is_less(first, second)?)),
            Self::Le => Some(Value::Bool(is_less(first, second)? || equal_to_any(first, rest)?)),
            Self::Gt => Some(Value::Bool(!(is_less(first, second)? || equal_to_any(first, rest)?))),
            Self::Ge => Some(Value::Bool(!is_less(first, second)?)),
        }
        .unwrap_or(Value::Nil))
    }
}

fn too_long() -> String {
    format!("the text would be longer than {MAX_OUTPUT} bytes")
}

fn printed<'a>(print: impl FnOnce(&mut Printer)) -> Result<Value<'a>, String> {
    let mut printer = Printer::default();
    print(&mut printer);
    printer.finish().map(Value::made).ok_or_else(too_long)
}

/// The arguments as `print` writes them, escaped. A missing value is written as in the output of a template.
fn escaped<'a>(arguments: &[Value<'a>], escape: fn(&[u8]) -> Vec<u8>) -> Result<Value<'a>, String> {
    let shown: Vec<Value<'_>> = arguments
        .iter()
        .map(|value| match value {
            Value::Nil => Value::given("<no value>"),
            value => value.clone(),
        })
        .collect();
    let mut printer = Printer::default();
    printer.print(&shown);
    let escaped = escape(&printer.finish().ok_or_else(too_long)?);
    if escaped.len() > MAX_OUTPUT { Err(too_long()) } else { Ok(Value::made(escaped)) }
}

fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend("\u{fffd}".bytes()),
            b'"' => out.extend(b"&#34;"),
            b'\'' => out.extend(b"&#39;"),
            b'&' => out.extend(b"&amp;"),
            b'<' => out.extend(b"&lt;"),
            b'>' => out.extend(b"&gt;"),
            byte => out.push(*byte),
        }
    }
    out
}

fn js(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    let mut bytes = Vec::new();
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let _ = match character {
                '\\' | '\'' | '"' => write!(out, "\\{character}"),
                '<' | '>' | '&' | '=' => write!(out, "\\u{:04X}", u32::from(character)),
                c if c < ' ' => write!(out, "\\u{:04X}", u32::from(c)),
                c if c.is_ascii() || is_printable(c) => write!(out, "{c}"),
                c => write!(out, "\\u{:04X}", u32::from(c)),
            };
        }
        // Go takes each byte that is not UTF-8 for U+FFFD, which is printable, and copies the byte.
        bytes.append(&mut std::mem::take(&mut out).into_bytes());
        bytes.extend_from_slice(chunk.invalid());
    }
    bytes
}

fn url_query(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        let _ = match byte {
            b' ' => write!(out, "+"),
            b'-' | b'_' | b'.' | b'~' => write!(out, "{}", char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => write!(out, "{}", char::from(*byte)),
            byte => write!(out, "%{byte:02X}"),
        };
    }
    out.into_bytes()
}

fn length<'a>(value: &Value<'a>) -> Result<Value<'a>, String> {
    let length = match value {
        Value::Text(text) => text.bytes().len(),
        Value::List(_, length) => *length,
        Value::Map(map) => map.len(),
        value => return Err(format!("a {} has no length", value.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

/// A position up to `most`.
fn position(value: &Value<'_>, most: usize) -> Result<usize, String> {
    let number = match value {
        Value::Int(number) => usize::try_from(*number).map_err(|_| number.to_string()),
        Value::Byte(number) => Ok((*number).into()),
        value => return Err(format!("a {} cannot be an index", value.type_name())),
    };
    match number {
        Ok(number) if number <= most => Ok(number),
        Ok(number) => Err(format!("the index {number} is out of range")),
        Err(number) => Err(format!("the index {number} is out of range")),
    }
}

fn index<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Result<Value<'a>, String> {
    let mut item = item.clone();
    if matches!(item, Value::Nil) {
        return Err("nil has no elements".to_owned());
    }
    for index in indexes {
        item = match &item {
            Value::Map(map) => {
                let key = index.text().ok_or_else(|| {
                    format!("the key of a map must be a string, not a {}", index.type_name())
                })?;
                let value = str::from_utf8(key).ok().and_then(|key| map.get(key));
                Value::given(value.map_or("", String::as_str))
            }
            Value::Text(text) => {
                let at = position(index, text.bytes().len())?;
                let byte = text.bytes().get(at).copied();
                Value::Byte(byte.ok_or_else(|| format!("the index {at} is out of range"))?)
            }
            Value::List(..) => {
                let at = position(index, item.elements().len())?;
                let element = item.elements().get(at);
                Value::given(element.ok_or_else(|| format!("the index {at} is out of range"))?)
            }
            item => return Err(format!("a {} has no elements", item.type_name())),
        };
    }
    Ok(item)
}

fn slice<'a>(item: &Value<'a>, indexes: &[Value<'a>]) -> Result<Value<'a>, String> {
    let (length, capacity) = match item {
        Value::Text(text) => (text.bytes().len(), text.bytes().len()),
        Value::List(elements, length) => (*length, elements.len()),
        item => return Err(format!("a {} cannot be sliced", item.type_name())),
    };
    let most = if matches!(item, Value::Text(_)) { 2 } else { 3 };
    if indexes.len() > most {
        return Err(format!("a {} cannot be sliced with {} indexes", item.type_name(), indexes.len()));
    }
    let mut bounds = [0, length, capacity];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, capacity)?;
    }
    let [start, end, capacity] = bounds;
    if start > end || end > capacity {
        return Err(format!("the indexes {start}, {end} and {capacity} of a slice must not decrease"));
    }
    Ok(match item {
        Value::List(elements, _) => {
            Value::List(elements.get(start..capacity).unwrap_or_default(), end - start)
        }
        Value::Text(Text::Given(bytes)) => {
            Value::Text(Text::Given(bytes.get(start..end).unwrap_or_default()))
        }
        item => Value::made(item.text().and_then(|bytes| bytes.get(start..end)).unwrap_or_default().to_vec()),
    })
}

fn equal_to_any(first: &Value<'_>, others: &[Value<'_>]) -> Result<bool, String> {
    for other in others {
        let equal = match (first, other) {
            (Value::Nil, Value::Nil) => true,
            (Value::Nil, _) | (_, Value::Nil) => false,
            #[expect(clippy::float_cmp, reason = "as in Go")]
            (Value::Float(first), Value::Float(other)) => first == other,
            _ => match order(first, other) {
                Some(order) => order == Ordering::Equal,
                None => return Err(incomparable(first, other)),
            },
        };
        if equal {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_less(first: &Value<'_>, other: &Value<'_>) -> Result<bool, String> {
    match (first, other) {
        (Value::Float(first), Value::Float(other)) => Ok(first < other),
        (Value::Bool(_) | Value::Fields(_), _) | (_, Value::Bool(_) | Value::Fields(_)) => {
            Err(incomparable(first, other))
        }
        _ => order(first, other).map(Ordering::is_lt).ok_or_else(|| incomparable(first, other)),
    }
}

/// The order of two values of one kind; none if they cannot be compared. Floats have no order of their own.
fn order(first: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    Some(match (first, other) {
        (Value::Bool(first), Value::Bool(other)) => first.cmp(other),
        (Value::Text(first), Value::Text(other)) => first.bytes().cmp(other.bytes()),
        (Value::Int(first), Value::Int(other)) => first.cmp(other),
        (Value::Byte(first), Value::Byte(other)) => first.cmp(other),
        (Value::Int(first), Value::Byte(other)) => first.cmp(&i64::from(*other)),
        (Value::Byte(first), Value::Int(other)) => i64::from(*first).cmp(other),
        (Value::Fields(Fields::Label(first)), Value::Fields(Fields::Label(other))) => {
            (&first.group, &first.resource).cmp(&(&other.group, &other.resource))
        }
        _ => return None,
    })
}

fn incomparable(first: &Value<'_>, other: &Value<'_>) -> String {
    format!("a {} and a {} cannot be compared", first.type_name(), other.type_name())
}
