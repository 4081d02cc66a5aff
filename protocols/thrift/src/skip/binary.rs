//! Fields and values of the binary protocol.

use super::{Field, Open, Type, UNKNOWN_TYPE, Value, list, map};
use crate::reader::{Cut, Reader};

impl Type {
    fn of_binary(number: u8) -> Result<Self, Cut> {
        Ok(match number {
            0 => Self::Stop,
            1 => Self::Void,
            2 => Self::Bool,
            3 => Self::I8,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::String,
            12 => Self::Struct,
            13 => Self::Map,
            14 | 15 => Self::List,
            16 => Self::Uuid,
            _ => return Err(UNKNOWN_TYPE),
        })
    }
}

/// The front of a field. Its id is of no use here.
pub(super) fn field(reader: &mut Reader<'_>) -> Result<Field, Cut> {
    let kind = Type::of_binary(reader.u8()?)?;
    if kind == Type::Stop {
        return Ok(Field::Stop);
    }
    reader.u16()?;
    Ok(Field::Value(kind))
}

pub(super) fn value(reader: &mut Reader<'_>, kind: Type) -> Result<Value, Cut> {
    if let Some(width) = width(kind) {
        return Ok(Value::Raw(width));
    }
    match kind {
        Type::String => Ok(Value::Raw(reader.length()?.into())),
        Type::Struct => Ok(Value::Open(Open::Struct { last: 0 })),
        Type::List => {
            let element = Type::of_binary(reader.u8()?)?;
            list(element, reader.length()?, width(element))
        }
        Type::Map => {
            let key = Type::of_binary(reader.u8()?)?;
            let value = Type::of_binary(reader.u8()?)?;
            let widths = width(key).zip(width(value));
            let widths = widths.map(|(key, value)| key + value);
            map(key, value, reader.length()?, widths)
        }
        _ => Err(UNKNOWN_TYPE),
    }
}

/// How many bytes a value of this type has, where all have as many.
fn width(kind: Type) -> Option<u64> {
    match kind {
        Type::Bool | Type::I8 => Some(1),
        Type::I16 => Some(2),
        Type::I32 => Some(4),
        Type::I64 | Type::Double => Some(8),
        Type::Uuid => Some(16),
        _ => None,
    }
}

pub(super) fn least(kind: Type) -> u64 {
    width(kind).unwrap_or(match kind {
        Type::String => 4,
        Type::List => 5,
        Type::Map => 6,
        _ => 1,
    })
}
