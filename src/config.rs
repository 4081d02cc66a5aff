//! `meltemi config dump`.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::Value;

use crate::{
    arguments::{Config, ConfigCommand, Dump},
    controllers, output,
    proxy::block_on,
};

pub(crate) fn main(config: &Config) -> anyhow::Result<ExitCode> {
    match &config.command {
        ConfigCommand::Dump(dump) => print(dump),
    }
}

/// The first answer of a controller that knows the proxy.
fn print(dump: &Dump) -> anyhow::Result<ExitCode> {
    let page = format!("/debug/config?proxy={}", encoded(&dump.proxy));
    let mut silent = vec![];
    for (address, answer) in block_on(controllers::ask::<Value>(&dump.asked, &page))? {
        match answer {
            Ok(dumped) => {
                output::answer(serde_json::to_string_pretty(&dumped)?)?;
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) => silent.push(format!("the controller {address}: {error:#}")),
        }
    }
    bail!("{}", silent.join("\n"))
}

/// For a query: what is not a letter, a digit or plain is written as its bytes.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let shown = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(shown).collect()
}
