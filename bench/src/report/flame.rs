//! A flame graph: each function as wide as what it and all that it calls cost, upon its caller.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

const WIDTH: f64 = 1200.0;
const LINE: f64 = 17.0;
const TOP: f64 = 30.0;
/// Of a letter, about.
const LETTER: f64 = 6.6;

/// Looks by the kind of code.
const STYLE: &str = "
text { font: 11px ui-monospace, monospace; fill: #223; pointer-events: none }
rect { fill: #d8dbe2; stroke: #fff; stroke-width: .5 } .engine { fill: #f2b56b } .driver { fill: #9bb7d4 }
.protocol { fill: #a9cf9a } .policy { fill: #d6a5c9 } .telemetry { fill: #e8e08c } .title { font-size: 13px }
";

/// A function under one stack of callers.
#[derive(Debug, Default)]
struct Frame {
    cost: f64,
    calls: BTreeMap<String, Self>,
}

/// Costs of one request by stack, the outermost caller first, as an SVG that needs nothing else. Frames below
/// `least` of the whole are left out.
pub(crate) fn flame(title: &str, stacks: &BTreeMap<Vec<String>, f64>, least: f64) -> String {
    let mut root = Frame::default();
    for (stack, &cost) in stacks {
        root.add(stack, cost);
    }
    let least = root.cost * least;
    let depth = root.depth(least);
    let height = TOP + depth as f64 * LINE + 8.0;
    let heading = format!("{title}: {:.0} instructions a request", root.cost);
    let svg = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height}")) width=(WIDTH) height=(height) {
            style { (PreEscaped(STYLE)) }
            text class="title" x="6" y="18" { (heading) }
            (calls(&root, &Place { left: 0.0, bottom: height - 4.0, scale: WIDTH / root.cost.max(1.0), least, all: root.cost }))
        }
    };
    svg.into_string() + "\n"
}

/// Where the calls of a frame are drawn, and how.
struct Place {
    left: f64,
    bottom: f64,
    /// Pixels of an instruction.
    scale: f64,
    least: f64,
    all: f64,
}

impl Frame {
    fn add(&mut self, stack: &[String], cost: f64) {
        self.cost += cost;
        if let Some((first, rest)) = stack.split_first() {
            self.calls.entry(first.clone()).or_default().add(rest, cost);
        }
    }

    fn depth(&self, least: f64) -> usize {
        let shown = self.calls.values().filter(|call| call.cost >= least);
        shown.map(|call| 1 + call.depth(least)).max().unwrap_or(0)
    }
}

fn calls(frame: &Frame, place: &Place) -> Markup {
    let mut left = place.left;
    html! {
        @for (name, call) in &frame.calls {
            @if call.cost >= place.least {
                @let here = Place { left, bottom: place.bottom - LINE, ..*place };
                (one(name, call, place, left))
                (calls(call, &here))
                @let () = left += call.cost * place.scale;
            }
        }
    }
}

fn one(name: &str, call: &Frame, place: &Place, left: f64) -> Markup {
    let width = call.cost * place.scale;
    let letters = (width / LETTER) as usize;
    let shown: String = short(name).chars().take(letters).collect();
    let top = place.bottom - LINE;
    let percent = call.cost / place.all * 100.0;
    html! {
        g {
            title { (name) ": " (format!("{:.0} ({percent:.1} %)", call.cost)) }
            rect class=(class(name)) x=(pixels(left)) y=(pixels(top)) width=(pixels(width)) height=(LINE - 1.0) {}
            @if letters > 2 { text x=(pixels(left + 2.0)) y=(pixels(top + 12.0)) { (shown) } }
        }
    }
}

fn pixels(at: f64) -> String {
    format!("{at:.1}")
}

/// Without the names of modules.
fn short(name: &str) -> &str {
    let plain = name.find('<').unwrap_or(name.len());
    let until = name.get(..plain).unwrap_or(name);
    let mut parts = until.rmatch_indices("::");
    match (plain == name.len(), parts.nth(1)) {
        (true, Some((at, _))) => name.get(at + 2..).unwrap_or(name),
        _ => name,
    }
}

fn class(name: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match name {
        _ if has(&[
            "meltemi_dubbo",
            "meltemi_redis",
            "meltemi_thrift",
            "dubbo_rs_codec",
            "in protocols/",
        ]) =>
        {
            "protocol"
        }
        _ if has(&["meltemi_core::telemetry", "core/src/telemetry"]) => "telemetry",
        _ if has(&[
            "meltemi_policy",
            "core/policy",
            "meltemi_core::balance",
            "core/src/balance",
        ]) =>
        {
            "policy"
        }
        _ if has(&["meltemi_core::driver", "core/src/driver", "mio"]) => "driver",
        _ if has(&["meltemi_core", "core/src/engine"]) => "engine",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_wide_as_their_cost_and_small_ones_are_left_out() {
        let stacks = [
            (vec!["run"], 20.0),
            (vec!["run", "meltemi_core::engine::Engine::received"], 79.0),
            (vec!["run", "rare"], 1.0),
        ];
        let owned = |stack: Vec<&str>| stack.into_iter().map(str::to_owned).collect();
        let stacks = stacks.map(|(stack, cost)| (owned(stack), cost)).into();
        let svg = flame("dubbo <64x16>", &stacks, 0.02);
        assert!(
            svg.contains("dubbo &lt;64x16&gt;: 100 instructions"),
            "{svg}"
        );
        assert!(
            svg.contains(r#"class="engine" x="0.0" y="34.0" width="948.0""#),
            "{svg}"
        );
        assert!(svg.contains("received: 79 (79.0 %)</title>"), "{svg}");
        assert!(svg.contains(">Engine::received</text>"), "{svg}");
        assert!(!svg.contains("rare"));
    }
}
