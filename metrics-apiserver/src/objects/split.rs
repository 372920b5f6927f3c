//! Splits a JSON object into its fields, and its lists into their items, while it arrives. A list of ten thousand
//! objects is decoded one object at a time.

use super::error::RequestError;

/// Bytes of one field or item. An object in etcd has at most 1.5 MiB; a group of discovery is smaller.
pub(super) const PIECE_BYTES_MAX: usize = 4 << 20;

/// The state between two chunks.
#[derive(Debug)]
pub(super) struct Splitter {
    lists: &'static [&'static str],
    /// Open braces and brackets; none before the object has begun.
    depth: Option<usize>,
    text: Text,
    /// Between `{` or `,` of the outer object and the colon.
    in_key: bool,
    /// Within a list whose items are passed one by one.
    in_list: bool,
    key: String,
    piece: Vec<u8>,
}

/// Whether a byte is within a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

/// Called with the name and the value of each field or item.
pub(super) type Take<'a> = &'a mut (dyn FnMut(&str, &[u8]) -> Result<(), RequestError> + Send);

impl Splitter {
    pub(super) fn new(lists: &'static [&'static str]) -> Self {
        Self {
            lists,
            depth: None,
            text: Text::Outside,
            in_key: false,
            in_list: false,
            key: String::new(),
            piece: Vec::new(),
        }
    }

    /// Takes the next bytes; calls `take` with each field or item that is complete.
    pub(super) fn feed(&mut self, bytes: &[u8], take: Take<'_>) -> Result<(), RequestError> {
        for &byte in bytes {
            match self.text {
                Text::Outside => self.byte(byte, take)?,
                Text::Inside | Text::Escaped => self.string_byte(byte),
            }
            if self.piece.len() > PIECE_BYTES_MAX {
                return Err(RequestError::TooLarge(PIECE_BYTES_MAX));
            }
        }
        Ok(())
    }

    /// The end of the input: an error if the object is not complete.
    pub(super) fn end(&self) -> Result<(), RequestError> {
        if self.depth == Some(0) { Ok(()) } else { Err(RequestError::Incomplete) }
    }

    fn string_byte(&mut self, byte: u8) {
        self.piece.push(byte);
        self.text = match byte {
            _ if self.text == Text::Escaped => Text::Inside,
            b'\\' => Text::Escaped,
            b'"' => Text::Outside,
            _ => Text::Inside,
        };
    }

    fn byte(&mut self, byte: u8, take: Take<'_>) -> Result<(), RequestError> {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'{' | b'[' => {
                let depth = self.depth.map_or(1, |depth| depth + 1);
                self.depth = Some(depth);
                match depth {
                    1 => self.in_key = true,
                    2 if byte == b'[' && self.lists.contains(&self.key.as_str()) => self.in_list = true,
                    _ => self.piece.push(byte),
                }
            }
            b'}' | b']' => {
                let depth = self.depth.and_then(|depth| depth.checked_sub(1));
                self.depth = depth;
                match depth.ok_or(RequestError::Incomplete)? {
                    0 => self.pass(take)?,
                    1 if self.in_list => {
                        self.pass(take)?;
                        self.in_list = false;
                    }
                    _ => self.piece.push(byte),
                }
            }
            b',' if self.depth == Some(1) => {
                self.pass(take)?;
                self.in_key = true;
            }
            b',' if self.depth == Some(2) && self.in_list => self.pass(take)?,
            b':' if self.depth == Some(1) && self.in_key => {
                self.in_key = false;
                self.key = serde_json::from_slice(&self.piece)?;
                self.piece.clear();
            }
            _ => {
                if byte == b'"' {
                    self.text = Text::Inside;
                }
                self.piece.push(byte);
            }
        }
        Ok(())
    }

    fn pass(&mut self, take: Take<'_>) -> Result<(), RequestError> {
        // Go writes an empty list as null.
        let is_empty_list = self.piece == b"null" && self.lists.contains(&self.key.as_str());
        if !self.piece.is_empty() && !is_empty_list {
            take(&self.key, &self.piece)?;
        }
        self.piece.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str, chunk: usize) -> Result<Vec<(String, String)>, RequestError> {
        let mut splitter = Splitter::new(&["items"]);
        let mut pieces = Vec::new();
        let mut take = |key: &str, piece: &[u8]| {
            pieces.push((key.to_owned(), String::from_utf8(piece.to_vec()).unwrap()));
            Ok(())
        };
        for bytes in text.as_bytes().chunks(chunk) {
            splitter.feed(bytes, &mut take)?;
        }
        splitter.end().map(|()| pieces)
    }

    #[test]
    fn fields_and_items_are_passed_wherever_chunks_end() {
        let text = r#"{"kind": "L", "metadata": {"a": [1, {"b": "}]\","}]},
            "items": [ {"n": "x,[\\"} , {"items": [1, 2]}, "s"], "other": [1, 2], "none": null}"#;
        let expected = [
            ("kind", r#""L""#),
            ("metadata", r#"{"a":[1,{"b":"}]\","}]}"#),
            ("items", r#"{"n":"x,[\\"}"#),
            ("items", r#"{"items":[1,2]}"#),
            ("items", r#""s""#),
            ("other", "[1,2]"),
            ("none", "null"),
        ];
        for chunk in [1, 2, 3, 7, 1000] {
            let pieces = split(text, chunk).unwrap();
            let pieces: Vec<_> = pieces.iter().map(|(key, piece)| (key.as_str(), piece.as_str())).collect();
            assert_eq!(pieces, expected, "{chunk}");
        }
        assert_eq!(split(r#"{"items":[]}"#, 4).unwrap(), []);
        assert_eq!(split(r#"{"items":null}"#, 4).unwrap(), []);
    }

    #[test]
    fn what_is_not_one_complete_object_is_an_error() {
        for text in ["", "{", r#"{"a": [1}"#, r#"{"items": [{}"#, "}", "{1 2: 3}"] {
            assert!(split(text, 3).is_err(), "{text}");
        }
    }

    #[test]
    fn a_piece_is_no_longer_than_its_limit() {
        let text = format!(r#"{{"items": ["{}"]}}"#, "x".repeat(PIECE_BYTES_MAX));
        assert!(matches!(split(&text, 4096), Err(RequestError::TooLarge(PIECE_BYTES_MAX))));
    }
}
