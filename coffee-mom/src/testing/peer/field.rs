//! The fields that payloads are made of: integers, texts, bits and tables.
//!
//! ```text
//! integer      u8, u16, u32 or u64, big-endian
//! short text   u8 length, UTF-8
//! long text    u32 length, bytes
//! bits         u8, the first from the right
//! table        u32 length, then (short text, value) until there is no more
//! value        u8 kind, then what the kind says; a list is u32 length and values
//! ```

use super::Malformed;
use crate::{Headers, Value};

/// Tables within tables; a decoder without a bound could be led to overflow its stack.
const MAX_DEPTH: usize = 16;

/// Reads fields from the front of a payload.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    /// Fails if something is left.
    pub(super) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::Trailing(self.0.len())) }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// The first `N` bits of an octet of them.
    pub(super) fn bits<const N: usize>(&mut self) -> Result<[bool; N], Malformed> {
        let octet = self.u8()?;
        Ok(std::array::from_fn(|bit| octet >> bit & 1 == 1))
    }

    pub(super) fn short(&mut self) -> Result<String, Malformed> {
        let length = self.u8()?;
        self.bytes(length.into()).and_then(text)
    }

    pub(super) fn long(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()?;
        self.bytes(length as usize)
    }

    pub(super) fn table(&mut self) -> Result<Headers, Malformed> {
        self.nested_table(0)
    }

    fn nested_table(&mut self, depth: usize) -> Result<Headers, Malformed> {
        let mut fields = Self(self.long()?);
        let mut table = Headers::new();
        while !fields.0.is_empty() {
            let name = fields.short()?;
            table.insert(name, fields.value(depth)?);
        }
        Ok(table)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, Malformed> {
        let mut fields = Self(self.long()?);
        let mut list = Vec::new();
        while !fields.0.is_empty() {
            list.push(fields.value(depth)?);
        }
        Ok(list)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth >= MAX_DEPTH {
            return Err(Malformed::Depth);
        }
        Ok(match self.u8()? {
            b't' => Value::Bool(self.u8()? != 0),
            b'b' => Value::Int(self.array().map(i8::from_be_bytes)?.into()),
            b'B' => Value::Int(self.u8()?.into()),
            b's' | b'U' => Value::Int(self.array().map(i16::from_be_bytes)?.into()),
            b'u' => Value::Int(self.u16()?.into()),
            b'I' => Value::Int(self.array().map(i32::from_be_bytes)?.into()),
            b'i' => Value::Int(self.u32()?.into()),
            b'l' | b'L' => Value::Int(self.array().map(i64::from_be_bytes)?),
            b'S' => Value::Text(self.long().and_then(text)?),
            b'T' => Value::Timestamp(self.u64()?),
            b'A' => Value::List(self.list(depth + 1)?),
            b'F' => Value::Table(self.nested_table(depth + 1)?),
            other => return Err(Malformed::ValueKind(other)),
        })
    }
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed::Text)
}

/// Appends a short text; what is beyond its 255 bytes is left out.
pub(super) fn put_short(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.floor_char_boundary(usize::from(u8::MAX))];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

pub(super) fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

pub(super) fn put_table(out: &mut Vec<u8>, table: &Headers) {
    let mut fields = Vec::new();
    for (name, value) in table {
        put_short(&mut fields, name);
        put_value(&mut fields, value);
    }
    put_long(out, &fields);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Bool(value) => out.extend_from_slice(&[b't', u8::from(*value)]),
        Value::Int(value) => {
            out.push(b'l');
            out.extend_from_slice(&value.to_be_bytes());
        }
        Value::Text(text) => {
            out.push(b'S');
            put_long(out, text.as_bytes());
        }
        Value::Timestamp(seconds) => {
            out.push(b'T');
            out.extend_from_slice(&seconds.to_be_bytes());
        }
        Value::List(values) => {
            let mut fields = Vec::new();
            values.iter().for_each(|value| put_value(&mut fields, value));
            out.push(b'A');
            put_long(out, &fields);
        }
        Value::Table(table) => {
            out.push(b'F');
            put_table(out, table);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_back() {
        let inner = Headers::from([("yes".into(), true.into()), ("when".into(), Value::Timestamp(7))]);
        let list = Value::List(vec![Value::Int(-1), "text".into()]);
        let table = Headers::from([("list".into(), list), ("inner".into(), Value::Table(inner))]);
        let mut bytes = Vec::new();
        put_table(&mut bytes, &table);
        for cut in 0..bytes.len() {
            assert_eq!(Fields::new(&bytes[..cut]).table(), Err(Malformed::Truncated));
        }
        let mut fields = Fields::new(&bytes);
        assert_eq!(fields.table(), Ok(table));
        assert_eq!(fields.end(), Ok(()));
    }

    #[test]
    fn deep_tables_and_what_is_no_text_are_refused() {
        let deep = (0..20).fold(Value::Bool(true), |value, _| Value::List(vec![value]));
        let mut bytes = Vec::new();
        put_table(&mut bytes, &Headers::from([("deep".into(), deep)]));
        assert_eq!(Fields::new(&bytes).table(), Err(Malformed::Depth));
        assert_eq!(Fields::new(b"\x02\xff\xff").short(), Err(Malformed::Text));
        assert_eq!(Fields::new(b"\0\0\0\x02\0x").table(), Err(Malformed::ValueKind(b'x')));
    }
}
