//! The DNS automation of DynamoDB: a Planner that says what the records should be, Enactors that make it so, and the tool
//! that operators have for when they can't.
//!
//! The endpoints of DynamoDB stand before hundreds of balancers that come and go, so nobody edits their records by hand.
//! The [`planner`] publishes numbered plans. Three [`enactor`]s, independent on purpose, apply the newest one: a
//! [`visit`] to each endpoint, under its [`lock`], and a [`sweep`] of what has become too old. Each part is reasonable.
//! Together they can delete the plan that is in use and then refuse every other one: an Enactor that was held up long
//! enough installs a plan that the others' cleaner takes for garbage. [`step`] says how that is proved.

pub mod enactor;
pub mod lock;
pub mod names;
pub mod plan;
pub mod planner;
mod records;
pub mod step;
pub mod sweep;
pub mod tool;
pub mod visit;

#[cfg(test)]
mod explore;
#[cfg(test)]
mod tests;

/// The domain of the automation's own errors.
const DOMAIN: &str = "dns-automation.dynamodb.amazonaws.com";
