//! Regular expressions that match whole values, on one attribute: one walk over the value answers for
//! all of them, and never takes long.
//!
//! A value's byte costs next to nothing where the automaton has been before, and as much as the state
//! that it has to make where it has not: of an expression such as `(.*a){500}z` that is thousands of
//! times more, for any number of bytes. So what is made is counted, and a value that takes more than
//! that is given up.

use std::collections::HashMap;

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, Compiler, NFA, WhichCaptures};
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind, PatternID, PatternSet};
use thiserror::Error;

/// Compiled size of one regular expression; RE2's own limit in Envoy is of this order.
pub(super) const SIZE_LIMIT: usize = 1 << 20;
/// Compiled size of several.
const SET_SIZE_LIMIT: usize = 4 << 20;
/// Memory of the states of one regular expression, of each worker.
const CACHE_LIMIT: usize = 256 << 10;
/// The same of several.
const SET_CACHE_LIMIT: usize = 1 << 20;

/// What the regular expressions on one request may take: some ten nanoseconds each.
const STEPS: usize = 1 << 19;
/// So many bytes of a value are walked over in one step.
const BYTES_PER_STEP: usize = 8;
/// What any state costs that has to be made.
const STEPS_PER_STATE: usize = 16;

/// The regular expressions on a request would take too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("its regular expressions take too many steps")]
pub struct Undecided;

/// What the regular expressions on one request may take yet.
#[derive(Debug)]
pub struct Steps(usize);

impl Default for Steps {
    fn default() -> Self {
        Self(STEPS)
    }
}

impl Steps {
    fn take(&mut self, steps: usize) -> Result<(), Undecided> {
        let left = self.0.checked_sub(steps);
        self.0 = left.unwrap_or(0);
        left.map(drop).ok_or(Undecided)
    }
}

/// Anchored regular expressions, as an automaton whose states are made when a value first leads there.
#[derive(Debug)]
pub(super) struct Automaton {
    dfa: DFA,
    /// What a state costs of which nobody knows how large it is.
    largest: usize,
}

/// An automaton's states as far as they were made, and what was found last: of one thread.
#[derive(Debug)]
pub(super) struct Walk {
    cache: Cache,
    /// What it costs to go on from a state, by how much memory it took.
    costs: HashMap<LazyStateID, usize>,
    found: PatternSet,
}

impl Automaton {
    /// An error where they are too large together, or one is on its own.
    pub(super) fn new(patterns: &[impl AsRef<str>]) -> Result<Self, Box<thompson::BuildError>> {
        let (size, cache) = match patterns {
            [_] => (SIZE_LIMIT, CACHE_LIMIT),
            _ => (SET_SIZE_LIMIT, SET_CACHE_LIMIT),
        };
        let config = NFA::config()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(size));
        let nfa = Compiler::new()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build_many(patterns)?;
        let config = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(cache)
            // It has at least what one step takes.
            .skip_cache_capacity_check(true);
        let largest = nfa.states().len();
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa);
        Ok(Self {
            dfa: dfa
                .expect("it may have as much memory as it needs, and looks around by bytes only"),
            largest,
        })
    }

    pub(super) fn walk(&self) -> Walk {
        Walk {
            cache: self.dfa.create_cache(),
            costs: HashMap::new(),
            found: PatternSet::new(self.dfa.pattern_len()),
        }
    }

    /// Looks which of them match.
    pub(super) fn search(
        &self,
        walk: &mut Walk,
        value: &[u8],
        steps: &mut Steps,
    ) -> Result<(), Undecided> {
        walk.found.clear();
        steps.take(value.len() / BYTES_PER_STEP)?;
        let begin = start::Config::new().anchored(Anchored::Yes);
        let mut state = self.make(walk, None, steps, |dfa, cache| {
            dfa.start_state(cache, &begin).ok()
        })?;
        for &byte in value {
            let next = match state.is_tagged() {
                true if state.is_dead() => return Ok(()),
                true => None,
                false => Some(self.dfa.next_state_untagged(&walk.cache, state, byte)),
            };
            state = match next.filter(|next| !next.is_unknown()) {
                Some(next) => next,
                None => self.make(walk, Some(state), steps, |dfa, cache| {
                    dfa.next_state(cache, state, byte).ok()
                })?,
            };
        }
        let end = self.make(walk, None, steps, |dfa, cache| {
            dfa.next_eoi_state(cache, state).ok()
        })?;
        if end.is_match() {
            for place in 0..self.dfa.match_len(&walk.cache, end) {
                let pattern = self.dfa.match_pattern(&walk.cache, end, place);
                walk.found.insert(pattern);
            }
        }
        Ok(())
    }

    /// Goes where the automaton may not have been before. That the first and the last step of a walk come
    /// `from` somewhere is not counted, as they are only two.
    fn make(
        &self,
        walk: &mut Walk,
        from: Option<LazyStateID>,
        steps: &mut Steps,
        next: impl FnOnce(&DFA, &mut Cache) -> Option<LazyStateID>,
    ) -> Result<LazyStateID, Undecided> {
        let (size, cleared) = (walk.cache.memory_usage(), walk.cache.clear_count());
        let next = next(&self.dfa, &mut walk.cache).ok_or(Undecided)?;
        let made = walk.cache.memory_usage().saturating_sub(size);
        if walk.cache.clear_count() != cleared {
            walk.costs.clear();
            steps.take(self.largest + STEPS_PER_STATE)?;
        } else if made > 0 {
            walk.costs.insert(next, made);
        }
        let from = from.map_or(0, |from| {
            walk.costs.get(&from).copied().unwrap_or(self.largest)
        });
        steps.take(from + made + STEPS_PER_STATE)?;
        Ok(next)
    }

    pub(super) fn size(&self) -> usize {
        self.dfa.memory_usage()
    }
}

impl Walk {
    /// Whether the last search found the pattern at this place.
    pub(super) fn found(&self, pattern: PatternID) -> bool {
        self.found.contains(pattern)
    }
}
