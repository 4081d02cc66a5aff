//! What callgrind counted, by stacks of callers.
//!
//! With `--separate-callers` a function's name goes on with those of its callers, `name'caller'caller`, so that each
//! cost belongs to one stack. Rust's own names, not demangled, have no `'`.

use std::collections::{BTreeMap, HashMap};

use rustc_demangle::demangle;

use super::ProfileError;

/// Instructions by stack, the outermost caller first.
pub(crate) type Stacks = BTreeMap<Vec<String>, u64>;

/// What callgrind has to be told for it, so that it collects what workers do and nothing else.
pub(crate) const OPTIONS: [&str; 3] = [
    "--separate-callers=40",
    "--demangle=no",
    "--toggle-collect=*6Worker3run*",
];

/// Below it is what a worker does; above it how its thread came to be. That it is a method is written in two ways.
const ROOT: [&str; 2] = [
    "meltemi_core::driver::worker::Worker::run",
    "<meltemi_core::driver::worker::Worker>::run",
];

/// Instructions of a profile by stack. Code that was inlined has a frame of its own, named for its file.
pub(crate) fn stacks(profile: &str) -> Result<Stacks, ProfileError> {
    let mut reader = Reader::default();
    for (number, line) in profile.lines().enumerate() {
        let read = reader.line(line);
        read.ok_or_else(|| ProfileError::Cost(number + 1, line.to_owned()))?;
    }
    let costs = reader.costs.iter();
    let mut stacks = Stacks::new();
    for ((function, file), &cost) in costs {
        let mut stack = stack(function);
        stack.extend(file.as_deref().map(|file| format!("in {}", shown(file))));
        *stacks.entry(stack).or_default() += cost;
    }
    match stacks
        .keys()
        .any(|stack| stack.iter().any(|it| is_root(it)))
    {
        true => Ok(stacks),
        false => Err(ProfileError::NoSymbols),
    }
}

#[derive(Default)]
struct Reader {
    functions: HashMap<String, String>,
    files: HashMap<String, String>,
    function: String,
    /// Of the function, and of the code that the next costs are of.
    own_file: String,
    file: String,
    is_call: bool,
    costs: HashMap<(String, Option<String>), u64>,
}

impl Reader {
    /// Nothing where the line is none that callgrind writes.
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(name) = line.strip_prefix("fl=") {
            self.own_file = named(&mut self.files, name);
            self.file.clone_from(&self.own_file);
        } else if let Some(name) = line.strip_prefix("fi=").or(line.strip_prefix("fe=")) {
            self.file = named(&mut self.files, name);
        } else if let Some(name) = line.strip_prefix("cfi=").or(line.strip_prefix("cfl=")) {
            named(&mut self.files, name);
        } else if let Some(name) = line.strip_prefix("fn=") {
            self.function = named(&mut self.functions, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            named(&mut self.functions, name);
        } else if line.starts_with("calls=") {
            self.is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let cost: u64 = line.rsplit(' ').next()?.parse().ok()?;
            if !std::mem::take(&mut self.is_call) {
                let inlined = self.file != self.own_file && !self.file.contains("/rustc/");
                let file = inlined.then(|| self.file.clone());
                *self.costs.entry((self.function.clone(), file)).or_default() += cost;
            }
        }
        Some(())
    }
}

/// A name is spelled once, `(12) name`, and `(12)` afterwards.
fn named(names: &mut HashMap<String, String>, text: &str) -> String {
    let (number, name) = text.split_once(' ').unwrap_or((text, ""));
    if !name.is_empty() {
        names.insert(number.to_owned(), name.to_owned());
    }
    names.get(number).cloned().unwrap_or_default()
}

fn stack(function: &str) -> Vec<String> {
    let frames = function.split('\'').rev();
    let mut frames: Vec<_> = frames.map(|name| format!("{:#}", demangle(name))).collect();
    if let Some(root) = frames.iter().position(|frame| is_root(frame)) {
        frames.drain(..root);
    }
    frames
}

fn is_root(frame: &str) -> bool {
    ROOT.contains(&frame)
}

/// The end of a path that is enough to know the file by.
fn shown(path: &str) -> &str {
    let from = ["core/", "protocols/", "src/"];
    let start = from.iter().filter_map(|part| path.find(part)).min();
    start.and_then(|start| path.get(start..)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "_ZN12meltemi_core6driver6worker6Worker3run17h0123456789abcdefE";
    const READ: &str = "_ZN12meltemi_core6engine4read17h0123456789abcdefE";

    #[test]
    fn a_cost_belongs_to_its_callers_in_turn_and_to_what_was_inlined() {
        let profile = format!(
            "events: Ir\n\nfl=(1) ./core/src/driver/worker.rs\nfn=(1) {RUN}'start'main\n10 5\n\
             cfi=(2) ./core/src/engine.rs\ncfn=(2) {READ}'{RUN}'start'main\ncalls=3 7\n+1 500\n\n\
             fl=(2)\nfn=(2)\n7 30\nfi=(3) /x/core/src/balance.rs\n8 12\nfi=(4) /rustc/1/slice.rs\n9 3\n"
        );
        let (run, read) = (ROOT[0], "meltemi_core::engine::read");
        let expected = [
            (vec![run], 5),
            (vec![run, read], 33),
            (vec![run, read, "in core/src/balance.rs"], 12),
        ];
        let owned = |stack: Vec<&str>| stack.into_iter().map(str::to_owned).collect();
        let expected = expected.map(|(stack, cost)| (owned(stack), cost));
        assert_eq!(stacks(&profile).unwrap(), Stacks::from(expected));
    }

    #[test]
    fn a_profile_without_a_worker_is_none() {
        let profile = "fl=(1) a.c\nfn=(1) main\n1 5\n";
        assert!(matches!(stacks(profile), Err(ProfileError::NoSymbols)));
    }
}
