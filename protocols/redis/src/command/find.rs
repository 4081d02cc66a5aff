//! Finding a command by its name: one hash, about one comparison, no allocation.

use super::{Command, table::COMMANDS};

/// More than twice as many places as commands, so that chains stay short.
const PLACES: usize = 1024;

/// Longer than any name: a client may send a name of any length, and that need not be hashed.
const LONGEST: usize = 64;

/// Place of a name's hash to index of its command plus one; 0 is empty. Collisions take the next
/// free place.
static INDEX: [u16; PLACES] = index();

/// The command of this name, in any case; of a container the subcommand `sub` where it has it, and
/// the container itself where it does not.
#[must_use]
pub fn find(name: &[u8], sub: Option<&[u8]>) -> Option<&'static Command> {
    if name.len() > LONGEST {
        return None;
    }
    let mut place = hash(name);
    let command = loop {
        let index = usize::from(*INDEX.get(place)?).checked_sub(1)?;
        let command = COMMANDS.get(index)?;
        if command.is_named(name) {
            break command;
        }
        place = (place + 1) % PLACES;
    };
    let Some(sub) = sub.filter(|_| !command.subcommands.is_empty()) else {
        return Some(command);
    };
    let own = |entry: &&Command| {
        let Some(name) = entry.name.as_bytes().get(command.name.len() + 1..) else {
            return false;
        };
        name.eq_ignore_ascii_case(sub)
    };
    Some(command.subcommands.iter().find(own).unwrap_or(command))
}

/// FNV-1a over the name in lower case.
#[expect(clippy::indexing_slicing, reason = "const fn knows no iterators")]
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = 0;
    while at < name.len() {
        hash = (hash ^ name[at].to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    // The multiplication leaves the low bits the poorest.
    (hash ^ (hash >> 16)) as usize % PLACES
}

#[expect(clippy::indexing_slicing, reason = "const fn knows no iterators")]
const fn index() -> [u16; PLACES] {
    assert!(COMMANDS.len() < PLACES / 2, "the table wants more places");
    let mut index = [0; PLACES];
    let mut command = 0;
    while command < COMMANDS.len() {
        let mut place = hash(COMMANDS[command].name.as_bytes());
        while index[place] != 0 {
            place = (place + 1) % PLACES;
        }
        command += 1;
        index[place] = command as u16;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for command in COMMANDS {
            let upper = command.name.to_ascii_uppercase();
            assert_eq!(find(command.name.as_bytes(), None), Some(command));
            assert_eq!(find(upper.as_bytes(), None), Some(command));
            for sub in command.subcommands {
                let (_, name) = sub.name.split_once('|').expect("container|subcommand");
                let name = name.to_ascii_uppercase();
                assert_eq!(find(upper.as_bytes(), Some(name.as_bytes())), Some(sub));
            }
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_not_found() {
        for name in ["", "nosuch", "ge", "gett", "config|set", "json.get"] {
            assert_eq!(find(name.as_bytes(), None), None, "{name}");
        }
        assert_eq!(find(&[0xff; 5000], None), None);
    }

    #[test]
    fn a_container_stands_for_subcommands_that_it_does_not_know() {
        let config = find(b"config", None).unwrap();
        assert_eq!(find(b"CONFIG", Some(b"nosuch")), Some(config));
        let get = find(b"get", None).unwrap();
        assert_eq!(
            find(b"get", Some(b"set")),
            Some(get),
            "an argument is no subcommand"
        );
    }
}
