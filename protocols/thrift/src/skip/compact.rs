//! Fields and values of the compact protocol.

use super::{Field, Open, Type, UNKNOWN_TYPE, Value, list, map};
use crate::reader::{Cut, Reader};

impl Type {
    fn of_compact(number: u8) -> Result<Self, Cut> {
        Ok(match number {
            0 => Self::Stop,
            // As an element's type either is bool.
            1 | 2 => Self::Bool,
            3 => Self::I8,
            4 => Self::I16,
            5 => Self::I32,
            6 => Self::I64,
            7 => Self::Double,
            8 => Self::String,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return Err(UNKNOWN_TYPE),
        })
    }
}

/// The front of a field, and its id: that of the field before and a little, or one of its own.
pub(super) fn field(reader: &mut Reader<'_>, last: i16) -> Result<(Field, i16), Cut> {
    let byte = reader.u8()?;
    let kind = Type::of_compact(byte & 15)?;
    if kind == Type::Stop {
        return Ok((Field::Stop, last));
    }
    let id = match byte >> 4 {
        0 => {
            let bits = reader.varint()?;
            ((bits >> 1) as i32 ^ -((bits & 1) as i32)) as i16
        }
        delta => last
            .checked_add(delta.into())
            .ok_or(Cut::Bad("the id of a field is too large"))?,
    };
    Ok(match kind {
        Type::Bool => (Field::Bool, id),
        kind => (Field::Value(kind), id),
    })
}

pub(super) fn value(reader: &mut Reader<'_>, kind: Type) -> Result<Value, Cut> {
    if let Some(width) = width(kind) {
        return Ok(Value::Raw(width));
    }
    match kind {
        // Apache writes false as 2, others as 0.
        Type::Bool => match reader.u8()? {
            0..=2 => Ok(Value::Raw(0)),
            _ => Err(Cut::Bad("a bool is none of 0, 1, 2")),
        },
        Type::I16 | Type::I32 => reader.bits(5).map(|_| Value::Raw(0)),
        Type::I64 => reader.bits(10).map(|_| Value::Raw(0)),
        Type::String => Ok(Value::Raw(reader.varint()?.into())),
        Type::Struct => Ok(Value::Open(Open::Struct { last: 0 })),
        Type::List => {
            let byte = reader.u8()?;
            let element = Type::of_compact(byte & 15)?;
            let count = match byte >> 4 {
                15 => count(reader)?,
                short => short.into(),
            };
            list(element, count, width(element))
        }
        Type::Map => {
            let pairs = count(reader)?;
            // An empty map has no types.
            if pairs == 0 {
                return Ok(Value::Raw(0));
            }
            let types = reader.u8()?;
            let key = Type::of_compact(types >> 4)?;
            let value = Type::of_compact(types & 15)?;
            let widths = width(key).zip(width(value));
            map(key, value, pairs, widths.map(|(key, value)| key + value))
        }
        _ => Err(UNKNOWN_TYPE),
    }
}

/// How many elements there are, which is a signed number.
fn count(reader: &mut Reader<'_>) -> Result<u32, Cut> {
    let count = reader.varint()?;
    match i32::try_from(count) {
        Ok(_) => Ok(count),
        Err(_) => Err(Cut::Bad("a count is negative")),
    }
}

/// How many bytes a value of this type has, where all have as many and any will do.
fn width(kind: Type) -> Option<u64> {
    match kind {
        Type::I8 => Some(1),
        Type::Double => Some(8),
        Type::Uuid => Some(16),
        _ => None,
    }
}

pub(super) fn least(kind: Type) -> u64 {
    width(kind).unwrap_or(1)
}
