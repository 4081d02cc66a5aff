//! `faults`: delays and errors on purpose.

use std::time::Duration;

use super::super::super::decode::{Decoder, PERCENT};
use super::super::super::shape::{Described, Shape, Takes};
use crate::yaml::Node;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    /// Whether an error is answered, after the delay if there is one.
    pub(crate) is_error: bool,
    /// From 0 to 100.
    pub(crate) percentage: f64,
    pub(crate) delay: Option<Duration>,
    /// None: all commands.
    pub(crate) commands: Vec<String>,
}

pub(super) static FAULT: Shape = Shape {
    name: "RedisFault",
    meaning: "",
    given: "",
    instead: &[],
    fields: &[
        Described::new(
            "type",
            Takes::OneOf(TYPES),
            "`DELAY`, which needs `delay`, or `ERROR`, which may come after a delay",
        )
        .absent("`DELAY`"),
        Described::new(
            "percentage",
            Takes::Mapping(&PERCENT),
            "of how many of the requests",
        )
        .required(),
        Described::new("delay", Takes::Duration, "how much later"),
        Described::new(
            "commands",
            Takes::List(&Takes::Text),
            "only of these, such as GET",
        )
        .absent("of every command"),
    ],
};

const TYPES: &[&str] = &["DELAY", "ERROR"];

pub(super) fn decode(d: &mut Decoder, node: &Node) -> Option<Fault> {
    let fields = d.fields("faults", node, &FAULT);
    // As protobuf has it, what is not given is the first of the choices.
    let kind = fields.string(d, "type");
    let kind = match &kind {
        Some(word) if !TYPES.contains(&word.value.as_str()) => {
            d.not_a_choice("faults.type", word, TYPES);
            None
        }
        Some(word) => Some(word.value == "ERROR"),
        None => Some(false),
    };
    // Whoever forgets it hardly means every request.
    if fields.node("percentage").is_none() {
        fields.missing(d, "percentage");
    }
    let percentage = fields.percent(d, "percentage");
    let delay = fields.duration(d, "delay");
    if kind == Some(false) && fields.node("delay").is_none() {
        fields.missing(d, "delay");
    }
    let commands = fields.strings(d, "commands");
    for command in commands.iter().filter(|c| c.value.is_empty()) {
        let remedy = "name a command, such as GET, or leave `commands` out";
        d.invalid(command.at, "`faults.commands` has an empty entry", remedy);
    }
    Some(Fault {
        is_error: kind?,
        percentage: percentage?,
        delay,
        commands: commands.into_iter().map(|c| c.value).collect(),
    })
}
