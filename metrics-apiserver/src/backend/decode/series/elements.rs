//! Takes the series out of a response: what is left is a small JSON document, with an empty object for each series.

use std::io::{self, Read};

use crate::backend::decode::error::DecodeError;

/// A string of a response. Label values are the longest, and seldom longer than 1 KiB.
pub(super) const STRING_BYTES_MAX: usize = 64 << 10;
pub(super) const STRING_LIMIT: &str = "64 KiB in a string";

/// Nested lists and objects; the deepest of Prometheus is 3.
const DEPTH_MAX: usize = 32;
pub(super) const DEPTH_LIMIT: &str = "32 nested lists and objects";

/// The text of one series: 256 labels with 4 KiB each. It is held whole.
const ELEMENT_BYTES_MAX: usize = 1 << 20;
pub(super) const ELEMENT_LIMIT: &str = "1 MiB in a series";

/// Read from the body at once.
const BUFFER_BYTES: usize = 64 << 10;

/// The field whose elements are taken out.
const FIELD: &[u8] = b"data";
/// How deep it is, and how deep its elements are.
const FIELD_DEPTH: usize = 1;
const ELEMENT_DEPTH: usize = 3;

/// Reads a JSON document without the content of the objects in the list `data`. Each of them is passed to a function
/// instead. The document is not checked further: what is left is for a JSON reader, and so is what is passed.
///
/// Ends at a string that is too long or at nesting that is too deep: JSON readers have no such limits.
pub(super) struct Elements<R, F> {
    body: R,
    take: F,
    buffer: Box<[u8]>,
    /// What of the buffer is not looked at yet.
    at: usize,
    filled: usize,
    /// How long the string that is being read is so far.
    string_bytes: Option<usize>,
    is_escaped: bool,
    depth: usize,
    /// The beginning of the last string in the outermost object, and whether it was the name of the field.
    name: Vec<u8>,
    is_field: bool,
    is_in_field: bool,
    /// The object that is being taken out.
    element: Option<Vec<u8>>,
    /// The room of the one before.
    spare: Vec<u8>,
    error: Option<DecodeError>,
}

impl<R: Read, F: FnMut(&[u8]) -> Result<(), DecodeError>> Elements<R, F> {
    pub(super) fn new(body: R, take: F) -> Self {
        Self {
            body,
            take,
            buffer: vec![0; BUFFER_BYTES].into(),
            at: 0,
            filled: 0,
            string_bytes: None,
            is_escaped: false,
            depth: 0,
            name: Vec::new(),
            is_field: false,
            is_in_field: false,
            element: None,
            spare: Vec::new(),
            error: None,
        }
    }

    /// Why reading ended early.
    pub(super) fn into_error(self) -> Option<DecodeError> {
        self.error
    }

    fn too_much(&mut self, limit: &'static str) {
        self.error.get_or_insert(DecodeError::TooMuch(limit));
    }

    fn note(&mut self, byte: u8) {
        match (self.string_bytes, byte) {
            (Some(_), b'"') if !self.is_escaped => self.string_bytes = None,
            (Some(length), _) => {
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                self.add_to_string(length, 1);
                if self.depth == FIELD_DEPTH && self.name.len() <= FIELD.len() {
                    self.name.push(byte);
                }
            }
            (None, b'"') => {
                self.string_bytes = Some(0);
                if self.depth == FIELD_DEPTH {
                    self.name.clear();
                }
            }
            (None, b'[' | b'{') => {
                self.depth += 1;
                self.is_in_field |= byte == b'[' && self.depth == FIELD_DEPTH + 1 && self.is_field;
                if self.depth > DEPTH_MAX {
                    self.too_much(DEPTH_LIMIT);
                }
            }
            (None, b']' | b'}') => {
                self.depth = self.depth.saturating_sub(1);
                self.is_in_field &= self.depth > FIELD_DEPTH;
            }
            (None, b':') if self.depth == FIELD_DEPTH => self.is_field = self.name == FIELD,
            (None, b',') if self.depth == FIELD_DEPTH => self.is_field = false,
            (None, _) => {}
        }
    }

    fn add_to_string(&mut self, length: usize, more: usize) {
        self.string_bytes = Some(length + more);
        if length + more > STRING_BYTES_MAX {
            self.too_much(STRING_LIMIT);
        }
    }

    /// Takes what the buffer has of an element; whether it is whole.
    fn take_element(&mut self, mut element: Vec<u8>) -> bool {
        let start = self.at;
        let is_whole = self.skip_element();
        element.extend_from_slice(self.buffer.get(start..self.at).unwrap_or_default());
        if element.len() > ELEMENT_BYTES_MAX {
            self.too_much(ELEMENT_LIMIT);
        } else if !is_whole {
            self.element = Some(element);
        } else {
            if let Err(error) = (self.take)(&element) {
                self.error.get_or_insert(error);
            }
            element.clear();
            self.spare = element;
        }
        is_whole
    }

    /// Goes on to the end of the element, or of the buffer; whether it was that of the element.
    fn skip_element(&mut self) -> bool {
        while let Some(rest) = self.buffer.get(self.at..self.filled).filter(|rest| !rest.is_empty()) {
            if let Some(length) = self.string_bytes.filter(|_| !self.is_escaped) {
                // Most of a series is in strings: this is where the time goes.
                let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                let more = end.unwrap_or(rest.len());
                self.at += more;
                self.add_to_string(length, more);
                if end.is_none() {
                    break;
                }
            }
            let Some(byte) = self.buffer.get(self.at).copied() else { break };
            self.at += 1;
            self.note(byte);
            if self.depth < ELEMENT_DEPTH {
                return true;
            }
        }
        false
    }

    /// Copies what is not taken out; how much of it fits.
    fn copy(&mut self, out: &mut [u8]) -> usize {
        let mut written = 0;
        while let Some(free) = out.get_mut(written)
            && self.at < self.filled
            && self.error.is_none()
        {
            if let Some(element) = self.element.take() {
                if self.take_element(element) {
                    *free = b'}';
                    written += 1;
                }
                continue;
            }
            let Some(byte) = self.buffer.get(self.at).copied() else { break };
            self.at += 1;
            self.note(byte);
            if byte == b'{' && self.is_in_field && self.depth == ELEMENT_DEPTH && self.string_bytes.is_none()
            {
                let mut element = std::mem::take(&mut self.spare);
                element.push(byte);
                self.element = Some(element);
            }
            *free = byte;
            written += 1;
        }
        written
    }
}

impl<R: Read, F: FnMut(&[u8]) -> Result<(), DecodeError>> Read for Elements<R, F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let written = self.copy(out);
            if self.error.is_some() {
                return Err(io::Error::other("decoded no further"));
            }
            if written > 0 || out.is_empty() {
                return Ok(written);
            }
            (self.at, self.filled) = (0, self.body.read(&mut self.buffer)?);
            if self.filled == 0 {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a body that comes in chunks of so many bytes, and what was taken out.
    fn split(body: &str, chunk: usize) -> (String, Vec<String>) {
        struct Slow<'a>(&'a [u8], usize);
        impl Read for Slow<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let length = out.len().min(self.1).min(self.0.len());
                out[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let (mut left, mut taken) = (String::new(), Vec::new());
        let take = |element: &[u8]| {
            taken.push(String::from_utf8(element.to_vec()).unwrap());
            Ok(())
        };
        Elements::new(Slow(body.as_bytes(), chunk), take).read_to_string(&mut left).unwrap();
        (left, taken)
    }

    #[test]
    fn objects_of_the_list_are_taken_out_wherever_the_body_is_cut() {
        let taken_out = [r#"{"a":"}]\"\\"}"#, r#"{"b":{"c":[]}}"#, "{}"];
        let around = |list: &str| {
            format!(r#"{{"status":"data","x":[{{"y":1}}],"data": {list},"z":{{"data":[{{"d":1}}]}}}}"#)
        };
        let [first, second, third] = taken_out;
        let body = around(&format!("[{first}, {second},{third} ]"));
        let left = around("[{}, {},{} ]");
        for chunk in 1..=body.len() {
            let (rest, taken) = split(&body, chunk);
            assert_eq!(rest, left, "in chunks of {chunk}");
            assert_eq!(taken, taken_out, "in chunks of {chunk}");
        }
    }

    #[test]
    fn nothing_else_is_taken_out() {
        let bodies = [
            r#"[{"data":[{"a":1}]}]"#,
            r#"{"data":{"a":[{"b":1}]}}"#,
            r#"{"datas":[{"a":1}],"dat":[{"a":1}]}"#,
            r#"{"data":[[{"a":1}],"b",1]}"#,
            r#"{"data":"x","more":[{"a":1}]}"#,
        ];
        for body in bodies {
            assert_eq!(split(body, 7), (body.to_owned(), Vec::new()));
        }
    }
}
