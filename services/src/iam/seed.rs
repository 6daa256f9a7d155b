//! Who is there before the run: a run begins in the middle of everybody's life.
//!
//! Users `user-1`, `user-2`..., each in one or two of a handful of groups; roles `role-1`... that users and providers of
//! assertions may take; and the role that nodes of the provider's own clusters take.

use eastfall_proto::iam::{Entity, PolicyDocument};

use super::IamParams;
use super::policy::{allow, deny, trust};
use crate::seal::password_hash;

/// The provider of SAML assertions that roles trust.
pub(crate) const SAML_PROVIDER: &str = "example-idp";
/// The role whose credentials the nodes of clusters hold.
pub(crate) const NODE_ROLE: &str = "redshift-node";

/// The full name of that role, which is written last: once it is there, so are all.
pub(super) const LAST: &str = "role/redshift-node";

/// The name of a user by number.
pub(crate) fn user(number: u64) -> String {
    format!("user-{number}")
}

/// The name of a role by number.
pub(crate) fn role(number: u64) -> String {
    format!("role-{number}")
}

/// The password that a user begins with.
pub(crate) fn first_password(user: &str) -> String {
    format!("{user}'s own secret")
}

/// All entities, each as its first version.
pub(super) fn entities(params: &IamParams) -> Vec<Entity> {
    let groups = [
        group("analysts", allow(&["redshift:*"], &["*"])),
        group("developers", allow(&["dynamodb:*", "lambda:*", "redshift:Describe*"], &["*"])),
        group("interns", deny(&["*:Delete*"], &["*"])),
    ];
    let users = (1..=params.users).map(|number| {
        let name = user(number);
        let password_hash = password_hash(&name, &first_password(&name));
        let mut groups = vec![if number % 2 == 0 { "analysts" } else { "developers" }.to_owned()];
        if number % 10 == 0 {
            groups.push("interns".to_owned());
        }
        Entity { groups, password_hash, ..entity(&format!("user/{name}")) }
    });
    let roles = (1..=params.roles).map(|number| {
        let who = ["user/*", &format!("saml/{SAML_PROVIDER}")];
        let trust = trust(&["sts:AssumeRole", "sts:AssumeRoleWithSAML"], &who);
        Entity { trust: Some(trust), ..entity(&format!("role/{}", role(number))) }
    });
    let node = Entity { trust: Some(trust(&["sts:AssumeRole"], &["service/redshift*"])), ..entity(LAST) };
    groups.into_iter().chain(users).chain(roles).chain([node]).collect()
}

fn group(name: &str, policy: PolicyDocument) -> Entity {
    Entity { policies: [("own".to_owned(), policy)].into(), ..entity(&format!("group/{name}")) }
}

fn entity(name: &str) -> Entity {
    Entity { name: name.to_owned(), version: 1, ..Entity::default() }
}
