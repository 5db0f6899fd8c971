//! Fits help texts and defaults to an application.
//!
//! The texts of commands have words in braces, which stand for what only the application knows:
//!
//! | word | what |
//! |---|---|
//! | `{program}` | its name |
//! | `{example}` | how it is used |
//! | `{client}` | what a client asks of its cluster |
//! | `{placements}` | what `--placement` takes |
//! | `{stage}`, `{shard}` | a shard of its default placement |

use clap::{
    Arg, Command,
    builder::{Resettable, StyledStr},
};
use coffee_core::plan::Topology;
use coffee_nodes::cluster::{ClusterNode, roster};

use crate::{application::Application, command_line::Commands};

/// The command line of an application, out of what all have in common.
pub fn fit<C: Commands>(command: Command, application: &Application) -> Command {
    let words = words::<C>(application);
    let command = command.name(application.name().to_owned()).about(application.about_text().to_owned());
    let command = match application.version_text() {
        Some(version) => command.version(version.to_owned()),
        None => command,
    };
    fit_texts(command, &words)
        .mut_subcommands(|command| fit_texts(command, &words).mut_args(|flag| fit_flag(flag, application, &words)))
}

type Words = Vec<(&'static str, String)>;

fn words<C: Commands>(application: &Application) -> Words {
    let placements: Vec<String> = application.placements().map(|(name, about)| format!("{name} ({about})")).collect();
    let (stage, shard) = some_shard(application).unwrap_or_else(|| ("STAGE".to_owned(), 0));
    vec![
        // What these stand for has words itself.
        ("{example}", C::EXAMPLE.to_owned()),
        ("{client}", C::CLIENT.to_owned()),
        ("{program}", application.name().to_owned()),
        ("{placements}", format!("{}, or a TOML file", placements.join(", "))),
        ("{stage}", stage),
        ("{shard}", shard.to_string()),
    ]
}

/// The last shard of the first stage that has any; none where there is no cluster to be made of the plan, which the commands say.
fn some_shard(application: &Application) -> Option<(String, u16)> {
    let (plan, (default, _)) = (application.plan().ok()?, application.placements().next()?);
    let placement = application.placement_named(default, &plan).ok()?;
    let nodes = roster(&Topology::new(plan, &placement).ok()?, 0).ok()?;
    let mut shards = nodes.into_iter().filter_map(|node| match node {
        ClusterNode::Shard { stage, index } => Some((stage, index)),
        _ => None,
    });
    let (first, index) = shards.next()?;
    let last = shards.take_while(|(stage, _)| *stage == first).last();
    Some((first, last.map_or(index, |(_, index)| index)))
}

fn filled(text: Option<&StyledStr>, words: &Words) -> Resettable<StyledStr> {
    let fill =
        |text: &StyledStr| words.iter().fold(text.to_string(), |text, (word, meaning)| text.replace(word, meaning));
    text.map(|text| fill(text).into()).into()
}

fn fit_texts(command: Command, words: &Words) -> Command {
    let [about, long, after] =
        [command.get_about(), command.get_long_about(), command.get_after_help()].map(|text| filled(text, words));
    command.about(about).long_about(long).after_help(after)
}

/// Its text, and the default that depends on the application.
fn fit_flag(flag: Arg, application: &Application, words: &Words) -> Arg {
    let [help, long] = [flag.get_help(), flag.get_long_help()].map(|text| filled(text, words));
    let flag = flag.help(help).long_help(long);
    match flag.get_id().as_str() {
        "name" => flag.required(false).default_value(application.name().to_owned()),
        "placement" => {
            let names: Vec<&str> = application.placements().map(|(name, _)| name).collect();
            let default = names.first().copied().unwrap_or_default().to_owned();
            flag.required(false).value_name(names.join("|") + "|FILE").default_value(default)
        }
        _ => flag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{application::tests::visits, command_line, commands::PlainCommand};

    /// The help of the program and all of its commands.
    fn texts(application: &Application) -> String {
        let mut command = command_line::command::<PlainCommand>(application);
        let own = command.render_long_help().to_string();
        command.get_subcommands_mut().fold(own, |texts, command| texts + &command.render_long_help().to_string())
    }

    #[test]
    fn texts_speak_of_the_application_alone() {
        let texts = texts(&visits());
        for said in [
            "visits node level-1 --shard 0",
            "visits jobs --gateway",
            "`visits up`",
            "default|FILE",
            "[default: visits]",
        ] {
            assert!(texts.contains(said), "{said}: {texts}");
        }
        let of_others = [
            "coffee ",
            "`coffee",
            "sales",
            "queries",
            " fused",
            "staged",
            "submit",
            "{program",
            "{stage",
            "{placements",
        ];
        let found: Vec<&str> = of_others.into_iter().filter(|word| texts.contains(word)).collect();
        assert_eq!(found, [""; 0], "{texts}");
    }

    #[test]
    fn a_plan_that_makes_no_cluster_has_help_too() {
        use coffee_core::plan::PlanBuilder;
        let none = Application::new("none", || {
            let plan = PlanBuilder::<()>::new();
            plan.rows::<u32>("a").1.sink("a");
            plan.build()
        });
        assert!(texts(&none).contains("none node STAGE --shard 0"));
    }
}
