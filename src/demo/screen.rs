//! What the person sees: on a terminal a table that redraws, in a pipe plain lines, or JSON.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use serde_json::json;

use super::{
    LOCALITY,
    consumer::Method,
    provider::Provider,
    proxy::Proxy,
    story::{Act, Verdict},
    tally::Counts,
};

/// Of the views that come, every so many-th is a line of its own where nothing is redrawn.
const VIEWS_A_LINE: u32 = 4;
/// Characters of a full bar.
const BAR: usize = 20;
/// The cursor goes, and long lines are cut, while a table is redrawn; and back.
const HOLD_TERMINAL: &str = "\x1b[?25l\x1b[?7l";
const LET_GO: &str = "\x1b[?7h\x1b[?25h";

/// A moment of the demonstration.
pub(super) struct View<'a> {
    pub(super) elapsed: Duration,
    pub(super) providers: &'a [Provider],
    /// Of the last second.
    pub(super) late: &'a Counts,
    pub(super) total: &'a Counts,
    pub(super) verdicts: &'a [Verdict],
}

#[derive(Debug)]
enum Form {
    /// So many lines of the last table stand above the cursor.
    Table {
        drawn: usize,
    },
    Lines,
    Json,
}

/// Standard output, in the form that suits it.
pub(super) struct Screen {
    form: Form,
    views: u32,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let form = match (json, io::stdout().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Table { drawn: 0 },
            (false, false) => Form::Lines,
        };
        Self { form, views: 0 }
    }

    /// Everything runs.
    pub(super) fn begin(
        &mut self,
        proxy: &Proxy,
        manifests: &Path,
        providers: &[Provider],
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if let Form::Json = self.form {
            let providers: Vec<_> = providers.iter().map(described).collect();
            let event = json!({ "event": "begin", "command": proxy.command,
                "proxy": proxy.address, "admin": proxy.admin, "locality": LOCALITY,
                "manifests": manifests, "providers": providers });
            return writeln!(out, "{event}");
        }
        writeln!(out, "Meltemi's demonstration: Dubbo calls over loopback\n")?;
        writeln!(out, "  manifests  {}", manifests.display())?;
        writeln!(out, "  proxy      {}", proxy.command)?;
        writeln!(
            out,
            "             takes calls on {} in {LOCALITY}, shows itself on http://{}",
            proxy.address, proxy.admin
        )?;
        writeln!(
            out,
            "  providers  {} of org.example.Greeter, in three localities and two versions",
            providers.len()
        )?;
        writeln!(
            out,
            "  consumers  two, which make 400 calls a second and check each answer"
        )?;
        if let Form::Table { .. } = self.form {
            write!(out, "{HOLD_TERMINAL}")?;
        }
        out.flush()
    }

    /// An act begins.
    pub(super) fn act(&mut self, number: usize, act: &Act) -> io::Result<()> {
        let mut out = io::stdout().lock();
        self.views = 0;
        if let Form::Json = self.form {
            let event = json!({ "event": "act", "number": number, "title": act.title,
                "done": act.done });
            return writeln!(out, "{event}");
        }
        writeln!(out, "\n{number}. {}", act.title)?;
        for done in &act.done {
            writeln!(out, "   {done}")?;
        }
        writeln!(out)?;
        out.flush()
    }

    /// Time passed.
    pub(super) fn show(&mut self, view: &View<'_>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let due = self.views.is_multiple_of(VIEWS_A_LINE);
        self.views += 1;
        match &mut self.form {
            Form::Table { drawn } => {
                let text = table(view);
                if *drawn > 0 {
                    write!(out, "\x1b[{drawn}A\x1b[0J")?;
                }
                *drawn = text.lines().count();
                write!(out, "{text}")?;
            }
            Form::Lines if due => writeln!(out, "{}", line(view))?,
            Form::Json if due => writeln!(out, "{}", calls(view))?,
            Form::Lines | Form::Json => {}
        }
        out.flush()
    }

    /// The act is over.
    pub(super) fn act_over(&mut self, verdicts: &[Verdict]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match &mut self.form {
            // The last table stays, with the verdicts in it.
            Form::Table { drawn } => *drawn = 0,
            Form::Lines => {
                for verdict in verdicts {
                    writeln!(out, "   {}", judged(verdict))?;
                }
            }
            Form::Json => {
                let claims: Vec<_> = verdicts.iter().map(claim).collect();
                writeln!(out, "{}", json!({ "event": "act over", "claims": claims }))?;
            }
        }
        out.flush()
    }

    /// Everything is over.
    pub(super) fn end(
        &mut self,
        as_claimed: bool,
        total: &Counts,
        elapsed: Duration,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let calls = total.answered() + total.refused() + total.wrong + total.unanswered;
        if let Form::Json = self.form {
            let refused: serde_json::Map<_, _> = total
                .refusals()
                .into_iter()
                .map(|(status, times)| (status, times.into()))
                .collect();
            let event = json!({ "event": "end", "as_claimed": as_claimed,
                "seconds": elapsed.as_secs_f64(), "calls": calls, "answered": total.answered(),
                "refused": refused, "wrong": total.wrong, "unanswered": total.unanswered });
            return writeln!(out, "{event}");
        }
        writeln!(out, "\n{calls} calls in {:.0} s", elapsed.as_secs_f64())?;
        writeln!(out, "  {:>6} answered by a provider", total.answered())?;
        for (status, times) in total.refusals() {
            writeln!(
                out,
                "  {times:>6} told {status} by the proxy: in flight when their provider died"
            )?;
        }
        writeln!(out, "  {:>6} without an answer", total.unanswered)?;
        writeln!(out, "  {:>6} with another call's answer", total.wrong)?;
        let sum = match as_claimed {
            true => "everything was seen as claimed",
            false => "NOT everything was seen as claimed",
        };
        writeln!(out, "{sum}")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Form::Table { .. } = self.form {
            let mut out = io::stdout().lock();
            // A terminal that is gone needs nothing back.
            let _ = write!(out, "{LET_GO}").and_then(|()| out.flush());
        }
    }
}

/// The calls of the last second, provider by provider.
fn table(view: &View<'_>) -> String {
    let mut text = format!(
        "   {:<9} {:<8} {:<9} {:<7} {:>9} {:>11} {:>9}   {}\n",
        "provider",
        "version",
        "locality",
        "",
        "sayHello",
        "sayGoodbye",
        "test-ada",
        "sayHello's share"
    );
    let hellos = view.late.of(&[Method::Hello], |_| true).max(1);
    for provider in view.providers {
        let role = provider.role;
        let of = |method| view.late.of(&[method], |other| other == role);
        let rate = |method| match of(method) {
            0 => String::new(),
            calls => format!("{calls}/s"),
        };
        let percent = 100.0 * of(Method::Hello) as f64 / hellos as f64;
        text.push_str(&format!(
            "   {:<9} {:<8} {:<9} {:<7} {:>9} {:>11} {:>9}   {:<BAR$} {percent:3.0}%\n",
            role.name,
            role.version,
            role.locality,
            state(provider),
            rate(Method::Hello),
            rate(Method::Goodbye),
            rate(Method::Tester),
            bar(percent),
        ));
    }
    for verdict in view.verdicts {
        text.push_str(&format!("   {}\n", judged(verdict)));
    }
    text.push_str(&format!(
        "   {:.0} s, {} calls answered, {} refused, {} wrong\n",
        view.elapsed.as_secs_f64(),
        view.total.answered(),
        view.total.refused(),
        view.total.wrong
    ));
    text
}

fn state(provider: &Provider) -> &'static str {
    if provider.is_up() { "" } else { "killed" }
}

fn bar(percent: f64) -> String {
    "█".repeat((percent * BAR as f64 / 100.0).round() as usize)
}

/// The same in one line.
fn line(view: &View<'_>) -> String {
    let mut text = format!("   {:5.1}s ", view.elapsed.as_secs_f64());
    for provider in view.providers {
        let calls = view.late.of(&Method::ALL, |role| role == provider.role);
        if !provider.is_up() {
            text.push_str(&format!("  {} killed", provider.role.name));
        } else if calls > 0 {
            text.push_str(&format!("  {} {calls}/s", provider.role.name));
        }
    }
    for (status, times) in view.late.refusals() {
        text.push_str(&format!("  {status} {times}/s"));
    }
    text
}

/// The same for programs.
fn calls(view: &View<'_>) -> serde_json::Value {
    let providers: Vec<_> = view
        .providers
        .iter()
        .map(|provider| {
            let of = |method| view.late.of(&[method], |role| role == provider.role);
            json!({ "name": provider.role.name, "up": provider.is_up(),
                "sayHello": of(Method::Hello), "sayGoodbye": of(Method::Goodbye),
                "test-ada": of(Method::Tester) })
        })
        .collect();
    json!({ "event": "calls", "seconds": view.elapsed.as_secs_f64(), "per_second": providers,
        "refused": view.late.refused(), "wrong": view.late.wrong })
}

fn described(provider: &Provider) -> serde_json::Value {
    let role = provider.role;
    json!({ "name": role.name, "version": role.version, "locality": role.locality,
        "port": provider.port })
}

fn judged(verdict: &Verdict) -> String {
    let mark = if verdict.holds { "✓" } else { "…" };
    let seen = verdict
        .seen
        .map_or_else(|| "none".to_owned(), |seen| format!("{seen:.0}%"));
    format!("{mark} {} ({seen})", verdict.what)
}

fn claim(verdict: &Verdict) -> serde_json::Value {
    json!({ "claim": verdict.what, "percent": verdict.seen, "holds": verdict.holds })
}
