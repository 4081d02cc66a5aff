//! How the endpoints of a cluster are asked whether they can serve.

use super::destination_rules::MergedRule;
use super::services::Port;
use super::{Context, Findings, Setting};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::HealthCheck as Rule;
use crate::schema::RefusedSetting;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HealthCheck {
    pub(crate) rule: Rule,
    /// `None`: by a connection alone.
    pub(crate) protocol: Option<ProtocolCheck>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProtocolCheck {
    pub(crate) plugin: String,
    /// Those of the ApplicationProtocol, and those of the check.
    pub(crate) settings: Vec<Setting>,
}

impl HealthCheck {
    pub(super) fn of(rule: &Rule, port: &Port, context: &Context<'_>) -> Self {
        let protocol = port.protocol.as_ref().filter(|_| !rule.tcp);
        let protocol = protocol.map(|protocol| {
            let mut settings = context.protocols.settings(protocol);
            for (name, value) in &rule.settings {
                Setting::plain(name, &value.value).put(&mut settings);
            }
            ProtocolCheck {
                plugin: protocol.plugin.clone(),
                settings,
            }
        });
        Self {
            rule: rule.clone(),
            protocol,
        }
    }

    /// What the plugin does not take.
    pub(super) fn check(&self, rule: &MergedRule, context: &Context<'_>, findings: &mut Findings) {
        let Some(protocol) = &self.protocol else {
            return;
        };
        let plugin = &protocol.plugin;
        let given = protocol.settings.iter().filter_map(Setting::as_plain);
        let given: Vec<_> = given.collect();
        let asked = context
            .settings
            .check
            .as_ref()
            .filter(|_| !given.is_empty());
        let Some(refused) = asked.and_then(|check| check.ask(plugin, &given)) else {
            return;
        };
        let RefusedSetting { name, reason } = refused;
        // One that its ApplicationProtocol has is said there.
        let Some(setting) = self.rule.settings.get(&name) else {
            return;
        };
        let message = format!("the plugin `{plugin}` refuses the setting `{name}`: {reason}");
        let diagnostic = Diagnostic::error(Code::InvalidValue, message);
        let remedy = "change the setting as it says, or remove it";
        findings.at(
            rule.checking(&self.rule),
            setting.at,
            diagnostic.remedy(remedy),
        );
    }
}
