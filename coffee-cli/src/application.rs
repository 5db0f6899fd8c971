//! What makes a command out of a plan: its name, the plan, its placements. What the command can do is in `commands`.

use std::{env, ffi::OsString, fmt, fs, process::ExitCode, sync::Arc};

use coffee_core::plan::{Placement, PlacementError, Plan, PlanError};

use crate::{command_line, commands::PlainCommand, failure::Failure};

/// The name of the placement that is made from the plan.
const DEFAULT: &str = "default";

type MakePlan = Box<dyn Fn() -> Result<Plan, PlanError>>;
type MakePlacement = Box<dyn Fn(&Plan) -> Result<Placement, PlacementError>>;

/// What refuses encoded parameters, with a reason in words.
pub(crate) type CheckParameters = Arc<dyn Fn(&[u8]) -> Result<(), String> + Send + Sync>;

/// A pipeline as a command, whose processes find each other by name over RabbitMQ.
///
/// The program below, called `visits`, is a whole cluster by `visits up`, or one process a node anywhere: `visits query-node`,
/// `visits results-node`, `visits gateway`, `visits node level-1 --shard 0`, `visits monitor`. `visits jobs`, `visits top` and
/// `visits cancel` ask it, `visits chaos` kills its nodes, `visits compose` prints it as containers, `visits completions` is for shells; `--help`
/// tells of each. Jobs are submitted by [`coffee_nodes::client::Client`].
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use coffee_cli::Application;
/// use coffee_core::{
///     operator::{Count, GroupBy},
///     plan::{Plan, PlanBuilder, PlanError},
/// };
///
/// fn visits() -> Result<Plan, PlanError> {
///     let plan = PlanBuilder::<()>::new();
///     let (_, pages) = plan.rows::<u32>("pages");
///     pages.aggregate("by-page", |_| GroupBy::new(|page: &u32| Some(*page), Count)).sink("totals");
///     plan.build()
/// }
///
/// fn main() -> ExitCode {
///     Application::new("visits", visits).about("Counts the visits to each page").main()
/// }
/// ```
///
/// All processes of a cluster must be the same build of the program: they exchange rows of the plan's types.
pub struct Application {
    name: String,
    about: String,
    version: Option<String>,
    plan: MakePlan,
    placements: Vec<NamedPlacement>,
    check: CheckParameters,
}

struct NamedPlacement {
    name: String,
    about: String,
    make: MakePlacement,
}

impl NamedPlacement {
    fn new(name: &str, about: &str, make: impl Fn(&Plan) -> Result<Placement, PlacementError> + 'static) -> Self {
        NamedPlacement { name: name.to_owned(), about: about.to_owned(), make: Box::new(make) }
    }
}

impl Application {
    /// A command for a plan, under the placement that is [made from it](Placement::of). `name` is the program's, as people call
    /// it; clusters and their queues at the broker are called so too unless `--name` says otherwise, so it is best made of
    /// letters, digits and hyphens.
    ///
    /// `plan` is called by each command that has to know it, and must make the same plan each time and in each process.
    pub fn new(name: impl Into<String>, plan: impl Fn() -> Result<Plan, PlanError> + 'static) -> Self {
        let of_plan = NamedPlacement::new(DEFAULT, "made from the plan", |plan| Ok(Placement::of(plan)));
        Application {
            name: name.into(),
            about: "Runs a pipeline as a cluster of processes over RabbitMQ".to_owned(),
            version: None,
            plan: Box::new(plan),
            placements: vec![of_plan],
            check: Arc::new(|_| Ok(())),
        }
    }

    /// Says in a line what the program is for; `--help` begins with it.
    #[must_use]
    pub fn about(self, about: impl Into<String>) -> Self {
        Application { about: about.into(), ..self }
    }

    /// Sets what `--version` says, which there is not otherwise: mostly `env!("CARGO_PKG_VERSION")`.
    #[must_use]
    pub fn version(self, version: impl Into<String>) -> Self {
        Application { version: Some(version.into()), ..self }
    }

    /// Adds a placement that `--placement` can name, with a word or two about it. The first one added is what there is unless
    /// another is asked for, and stands in for the one that is made from the plan. A file's placement does always.
    #[must_use]
    pub fn placement(
        mut self,
        name: &str,
        about: &str,
        make: impl Fn() -> Result<Placement, PlacementError> + 'static,
    ) -> Self {
        self.placements.retain(|placement| placement.name != DEFAULT);
        self.placements.push(NamedPlacement::new(name, about, move |_| make()));
        self
    }

    /// Sets what the query node asks about the encoded parameters of a job before it takes it, as anybody may submit one. An
    /// error's text is what the client is told. It is called on threads of the query node, and should not wait.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&[u8]) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.check = Arc::new(check);
        self
    }

    /// Does what this process's arguments ask for: [`run`](Self::run) with them.
    pub fn main(self) -> ExitCode {
        self.run(env::args_os())
    }

    /// Does what the arguments ask for, the first of which is the program's own name; returns once that is done. For a program
    /// with commands of its own, which looks at the arguments first.
    ///
    /// The exit code is 0 where it is done, 1 where it failed, 2 for bad usage or input, 3 of a node that hung, 4 of one that was ordered to restart, 130 where it was
    /// interrupted. A failure is one line on stderr. Commands that wait handle SIGINT, SIGTERM and SIGHUP from then on, which a process can
    /// have done once only; they log to stderr by `env_logger`, unless the program has set a logger before. `up` starts this
    /// program again, once for each node, with the node's command alone as arguments.
    pub fn run<A: Into<OsString>>(self, arguments: impl IntoIterator<Item = A>) -> ExitCode {
        command_line::run::<PlainCommand>(&self, arguments.into_iter().map(Into::into).collect())
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let placements: Vec<&str> = self.placements().map(|(name, _)| name).collect();
        f.debug_struct("Application").field("name", &self.name).field("placements", &placements).finish_non_exhaustive()
    }
}

/// What commands ask of it.
impl Application {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn about_text(&self) -> &str {
        &self.about
    }

    pub(crate) fn version_text(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(crate) fn check_parameters(&self) -> CheckParameters {
        self.check.clone()
    }

    /// The plan, made anew.
    pub(crate) fn plan(&self) -> Result<Arc<Plan>, Failure> {
        (self.plan)().map(Arc::new).map_err(|error| Failure::work("the plan", error))
    }

    /// The names of the placements that ship, the default's first, and what is said about them.
    pub(crate) fn placements(&self) -> impl Iterator<Item = (&str, &str)> {
        self.placements.iter().map(|placement| (placement.name.as_str(), placement.about.as_str()))
    }

    /// Whether a placement ships by that name.
    pub(crate) fn has_placement(&self, name: &str) -> bool {
        self.placements().any(|(other, _)| other == name)
    }

    /// The placement of that name, or in the file of that name.
    pub(crate) fn placement_named(&self, name: &str, plan: &Plan) -> Result<Placement, Failure> {
        let placement = match self.placements.iter().find(|placement| placement.name == name) {
            Some(placement) => (placement.make)(plan),
            None => Placement::parse(&self.read_placement(name)?),
        };
        placement.map_err(|error| Failure::usage(name, error))
    }

    fn read_placement(&self, path: &str) -> Result<String, Failure> {
        fs::read_to_string(path).map_err(|error| {
            let names: Vec<&str> = self.placements().map(|(name, _)| name).collect();
            let are = if names.len() == 1 { "is" } else { "are" };
            let names = names.join(" and ");
            Failure::usage(path, format!("no placement can be read there: {error}; {names} {are} built in"))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use coffee_core::{
        operator::{Count, GroupBy},
        plan::PlanBuilder,
    };

    use super::*;

    /// One of no use.
    pub(crate) fn visits() -> Application {
        Application::new("visits", || {
            let plan = PlanBuilder::<()>::new();
            let (_, pages) = plan.rows::<u32>("pages");
            pages.aggregate("by-page", |_| GroupBy::new(|page: &u32| Some(*page), Count)).sink("totals");
            plan.build()
        })
    }

    #[test]
    fn the_plans_own_placement_is_there_until_another_is() {
        let own = visits();
        let plan = own.plan().unwrap();
        assert_eq!(own.placements().collect::<Vec<_>>(), [("default", "made from the plan")]);
        assert_eq!(own.placement_named("default", &plan).unwrap(), Placement::of(&plan));
        let failure = own.placement_named("nowhere.toml", &plan).unwrap_err();
        assert!(failure.line().ends_with("default is built in"), "{}", failure.line());

        let one = Placement::of(&plan);
        let named =
            visits().placement("one", "simple", move || Ok(one.clone())).placement("none", "", || Placement::parse(""));
        assert!(named.has_placement("one") && named.has_placement("none") && !named.has_placement("default"));
        assert!(named.placement_named("one", &plan).is_ok() && named.placement_named("none", &plan).is_err());
    }

    #[test]
    fn bad_usage_is_an_exit_code() {
        let code = |arguments: &[&str]| format!("{:?}", visits().run(arguments.iter().copied()));
        assert_eq!(code(&["visits", "brew"]), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code(&["visits", "completions", "fish"]), format!("{:?}", ExitCode::SUCCESS));
    }
}
