//! A deploy in the stand-in's cloud.

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;

use crate::apply::{Context, Done, roll_out};
use crate::aws::stand_in::cloud::Cloud;
use crate::aws::stand_in::{ACCOUNT, StandIn};
use crate::ui::Ui;
use xtask_core::config::{self, Config};
use xtask_core::plan::deploy::{ImageRef, Plan, Rollout, ServiceChange, TaskChange, rollout};

/// What is changed in an answer: the operation, how many of it came before, the answer.
type Twist = Box<dyn Fn(&Cloud, &str, &Value, usize) -> Option<(u16, Value)> + Send + Sync>;

/// A deploy in the cloud, and what came of it.
pub struct Deploy {
    _dir: TempDir,
    config: Config,
    /// The cloud.
    pub cloud: Cloud,
    /// Who answers for it.
    pub stand_in: StandIn,
    /// What was said.
    pub ui: Ui,
    /// What was done.
    pub done: Done,
    /// How many tasks the services were to have when it was planned.
    pub scaled_to: u32,
}

impl Deploy {
    /// In a cloud whose answers `twist` may replace.
    pub fn twisted(twist: Twist) -> Self {
        let cloud = Cloud::new();
        let answers = cloud.clone();
        let stand_in = StandIn::start(move |operation: &str, request: &Value, before| {
            if let Some(answer) = twist(&answers, operation, request, before) {
                return answer;
            }
            answers.answer(operation, request)
        });
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("xtask.toml");
        let text = format!(
            "[image]\nname = \"app\"\n[env.test]\naccount = \"{ACCOUNT}\"\nregion = \"eu-central-1\"\n\
             endpoint-url = \"{}\"\nmade-up-credentials = true\nregistry = \"r.example\"\n\
             repository = \"app\"\ncluster = \"app\"\nservices = [\"api\", \"web\"]\n\
             container = \"app\"\ndeadline = \"30s\"\n",
            stand_in.url()
        );
        std::fs::write(&path, text).unwrap();
        let config = config::load(Some(&path), Some("test")).unwrap();
        Self {
            _dir: dir,
            config,
            cloud,
            stand_in,
            ui: Ui::silent(),
            done: Done::default(),
            scaled_to: 1,
        }
    }

    /// In a cloud as it is.
    pub fn new() -> Self {
        Self::twisted(Box::new(|_, _, _, _| None))
    }

    /// Rolls these images out.
    pub async fn run(&mut self, images: &[(&str, &str)], put_back: bool) -> anyhow::Result<()> {
        let environment = self.config.environment().unwrap();
        let session = self.stand_in.session().await;
        let services: Vec<_> = images
            .iter()
            .map(|(service, image)| ServiceChange {
                service: (*service).into(),
                desired: self.scaled_to,
                change: TaskChange::Next {
                    image: ImageRef::Known((*image).into()),
                    environment: BTreeMap::new(),
                    secrets: BTreeMap::new(),
                },
            })
            .collect();
        let steps = rollout(&Rollout {
            cluster: "app",
            container: "app",
            lock: Some("deploy"),
            services: &services,
            desired_count: 1,
            if_busy: xtask_core::plan::deploy::IfBusy::Wait,
            force: false,
            deadline: environment.deadline,
            health: None,
            mark: None,
        });
        let context =
            Context { ui: &self.ui, config: &self.config, aws: Some((&session, environment)) };
        roll_out(&context, &Plan { steps }, &mut self.done, put_back).await
    }
}
