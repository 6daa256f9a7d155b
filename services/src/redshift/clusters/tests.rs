//! Clusters in virtual time: what becomes of nodes whose credentials end while nothing can be launched.

use eastfall_fabric::call::Rpc;
use eastfall_proto::error::reason;
use eastfall_proto::redshift::*;
use eastfall_topology::Span;
use tonic::{Code, Status};

use crate::testing::identity::Region;

/// EC2 with plenty of room. It knows its store by address, so that the name's absence alone does not stop launches.
pub(in crate::redshift) const EC2: &str = r#"
[service.dwfm]
kind = "dwfm"
workers = 8
service-time = "100ms"
check-period = "1m"
lease = "5m"
check-time = "1ms"
start-delay = "0s"
calls.db = {}
calls.droplets = { timeout = "5s" }
[service.droplets]
kind = "droplets"
count = 30
slots = 10
calls.dwfm = { timeout = "30s" }
[service.ec2]
kind = "ec2-api"
calls.db = {}
calls.dwfm = {}
"#;

/// Ten clusters of two nodes. Credentials last an hour and are renewed a quarter of an hour before.
pub(in crate::redshift) const CLUSTERS: &str = r#"
[service.clusters]
kind = "redshift-clusters"
clusters = 10
nodes = 2
credentials = "1h"
renew-before = "15m"
renew-pause = "10s"
renew-pause-max = "1m"
workflows = 2
restore = "5m"
launch-pause = "1m"
launch-pause-max = "20m"
launch-probes = 1
start-delay = "1m"
calls.db = { endpoint = "db.test" }
calls.sts = {}
calls.ec2 = {}
[service.redshift]
kind = "redshift"
calls.db = { endpoint = "db.test" }
calls.iam = {}
calls.clusters = {}
[service.redshift-elsewhere]
kind = "redshift"
elsewhere = true
instances = ["west", "east"]
calls.db-elsewhere = {}
calls.iam = {}
calls.iam-elsewhere = {}
[service.analysts]
kind = "service"
operations.nothing = {}
calls.redshift = {}
calls.redshift-elsewhere = {}
calls.clusters = {}
"#;

impl Region {
    /// One call of an analyst.
    pub(in crate::redshift) fn query_people<Req, Resp>(
        &self,
        callee: &str,
        rpc: &'static Rpc<Req, Resp>,
        request: Req,
    ) -> Result<Resp, Status>
    where
        Req: Send + Sync + 'static,
        Resp: Clone + Send + Sync + 'static,
    {
        let client = self.client("analysts", callee);
        self.run(async move { client.call(rpc, request).await })
    }

    fn query(&self, database: u64) -> Result<(), Status> {
        let request = QueryRequest { database };
        self.query_people("clusters", &redshift_clusters_api::QUERY, request).map(drop)
    }

    fn modifying(&self) -> f64 {
        self.gauge("modifying")
    }

    /// Credentials end in this blackout, and launches are throttled from its beginning until they are said to work.
    fn blackout(&self, length: Span) {
        self.empty_the_name();
        self.set("service.ec2.launch-rate", "0.0001");
        self.run_for(length);
        self.restore_the_name();
    }

    fn launches_work(&self) {
        self.set("service.ec2.launch-rate", "\"none\"");
    }
}

fn minutes(count: u64) -> Span {
    Span::from_mins(count)
}

fn region() -> Region {
    let lab = Region::start(&format!("{EC2}{CLUSTERS}"));
    // So that a throttle lets one launch through and no more.
    lab.set("service.ec2.launch-burst", "1");
    lab.run_for(minutes(3));
    lab
}

#[test]
fn nodes_are_instances_and_their_credentials_are_renewed_for_ever() {
    let lab = region();
    assert_eq!(lab.gauge("instances"), 20.0, "each node is an instance");
    lab.run_for(minutes(180));
    assert_eq!(lab.modifying(), 0.0, "all is well");
    assert!(lab.counted("renewals") >= 60.0, "{} renewals in three hours", lab.counted("renewals"));
    assert_eq!(lab.counted("replacements-queued"), 0.0, "nothing to replace");
    for database in 0..10 {
        lab.query(database).expect("it is available");
    }
}

#[test]
fn credentials_that_end_make_clusters_unavailable_and_front_ends_say_so() {
    let lab = region();
    lab.blackout(minutes(40));
    assert!(lab.modifying() >= 2.0, "{} are modifying", lab.modifying());
    lab.run_for(minutes(5));
    let refused: Vec<Status> = (0..10).filter_map(|database| lab.query(database).err()).collect();
    assert_eq!(refused.len() as f64, lab.modifying(), "those that are being modified take no queries");
    for status in refused {
        assert_eq!(reason(&status).as_deref(), Some("ClusterUnavailable"), "{status}");
    }
    let states: Vec<String> = (0..10)
        .map(|database| {
            let request = DescribeClustersRequest { database };
            lab.query_people("redshift", &redshift_api::DESCRIBE_CLUSTERS, request)
                .expect("known")
                .cluster_status
        })
        .collect();
    let modifying = states.iter().filter(|state| *state == "modifying").count();
    assert_eq!(modifying as f64, lab.modifying(), "the metadata say the same: {states:?}");
    let database = states.iter().position(|state| state == "modifying").expect("one") as u64;
    let request = ModifyClusterRequest { database, maintenance_window: "now".to_owned() };
    let status = lab.query_people("redshift", &redshift_api::MODIFY_CLUSTER, request).expect_err("not now");
    assert_eq!(reason(&status).as_deref(), Some("InvalidClusterState"), "{status}");
    assert_eq!(status.code(), Code::FailedPrecondition, "an answer, not a failure of the front end");
}

#[test]
fn nobody_sleeps_through_the_end_of_their_credentials() {
    let lab = region();
    lab.set("service.clusters.renew-pause-max", "\"1h\"");
    // Three minutes less than a node has from its first try on; pauses that just doubled would be longer by then.
    lab.blackout(minutes(12));
    lab.run_for(minutes(20));
    assert!(lab.counted("renewals-failed") > 0.0, "some were due in the blackout");
    assert_eq!(lab.counted("replacements-queued"), 0.0, "and had another try before the end");
}

#[test]
fn replacements_wait_for_launches_and_notice_them_up_to_the_longest_pause_late() {
    let lab = region();
    lab.blackout(minutes(40));
    lab.set("service.clusters.replacements", "\"off\"");
    lab.run_for(minutes(60));
    let queued = lab.counted("replacements-queued");
    let launched = lab.counted("replacements-launched");
    assert!(
        queued > 2.0 && launched <= 1.0,
        "{queued} queued, {launched} launched by the throttle's one token"
    );
    let tries = lab.counted("replacement-launches-failed");
    assert!(tries < 30.0, "{tries} tries in a hundred minutes: who is let down stops asking");
    lab.launches_work();
    lab.run_for(minutes(20));
    assert!(lab.counted("replacements-launched") > launched, "one of them has tried again");
    lab.run_for(minutes(60));
    assert_eq!(lab.modifying(), 0.0, "all are through");
    assert_eq!(lab.counted("replacements-queued"), queued, "the queue has not grown");
    assert_eq!(lab.counted("replacements-done"), queued, "whoever was queued was replaced");
    lab.run_for(minutes(2));
    assert_eq!(lab.gauge("instances"), 20.0, "old instances were given back");
}

/// How many replacements a blackout costs, and how long until all clusters are available after launches work again.
fn drain(stop_growth: bool, renew_while_modifying: bool) -> (f64, u64) {
    let lab = region();
    lab.set("service.clusters.renew-while-modifying", &renew_while_modifying.to_string());
    lab.blackout(minutes(40));
    if stop_growth {
        lab.set("service.clusters.replacements", "\"off\"");
    }
    lab.run_for(minutes(60));
    lab.launches_work();
    let mut waited = 0;
    while lab.modifying() > 0.0 {
        lab.run_for(minutes(1));
        waited += 1;
        assert!(waited < 600, "the drain does not end");
    }
    (lab.counted("replacements-queued"), waited)
}

#[test]
fn a_queue_that_is_stopped_from_growing_drains_sooner() {
    let (queued, waited) = drain(false, false);
    let (queued_less, waited_less) = drain(true, false);
    assert!(queued_less < queued, "{queued_less} instead of {queued} replacements");
    assert!(waited_less < waited, "{waited_less} instead of {waited} minutes");
}

#[test]
fn renewing_nodes_of_clusters_in_modification_keeps_the_queue_from_growing() {
    let (queued, _) = drain(false, false);
    let (repaired, _) = drain(false, true);
    assert!(repaired < queued, "{repaired} instead of {queued} replacements");
}

#[test]
fn a_restarted_automation_goes_on_with_its_nodes_and_its_queue() {
    let lab = region();
    lab.blackout(minutes(40));
    lab.run_for(minutes(1));
    let (modifying, nodes) = (lab.modifying(), lab.gauge("instances"));
    lab.simulation.kill_instance("clusters");
    lab.simulation.start_instance("clusters");
    lab.run_for(minutes(1));
    assert_eq!((lab.modifying(), lab.gauge("instances")), (modifying, nodes), "as before");
    lab.launches_work();
    lab.run_for(minutes(240));
    assert_eq!(lab.modifying(), 0.0, "all are through");
}
