//! Requests to STS, IAM, sign-in and Identity Center, by those whom `iam::seed` has put there.

use std::sync::Arc;

use eastfall_proto::iam::{
    AuthorizeRequest, CreateUserRequest, GetRoleRequest, GetUserRequest, ListGroupsForUserRequest,
    PutRolePolicyRequest, iam_api,
};
use eastfall_proto::sign_in::{
    ConsoleSignInRequest, CreateSessionRequest, FederatedSignInRequest, ListAccountsRequest,
    RootSignInRequest, identity_center_api, sign_in_api,
};
use eastfall_proto::sts::{
    AssumeRoleRequest, AssumeRoleWithSamlRequest, GetCallerIdentityRequest, GetSessionTokenRequest, sts_api,
};

use super::{Draw, Operation, operation};
use crate::iam::policy::allow;
use crate::iam::seed::{SAML_PROVIDER, first_password, role, user};
use crate::sign_in::account;

const STS: &[&str] = &["sts"];
const IAM: &[&str] = &["iam", "iam-replica"];
const SIGN_IN: &[&str] = &["sign-in"];
const IDENTITY_CENTER: &[&str] = &["identity-center"];

/// The keys of a population are numbers of users, roles or accounts: give it no more `keys` than there are.
pub(super) fn operations() -> Vec<Operation> {
    [sts(), iam(), sign_in(), identity_center()].into_iter().flatten().collect()
}

fn sts() -> Vec<Operation> {
    vec![
        operation(STS, &sts_api::ASSUME_ROLE, |draw| {
            let number = draw.key();
            AssumeRoleRequest {
                principal: principal(number),
                role: role(number),
                role_session_name: "application".to_owned(),
                duration_seconds: 0,
            }
        }),
        operation(STS, &sts_api::ASSUME_ROLE_WITH_SAML, |draw| {
            let number = draw.key();
            let (issuer, subject) = (SAML_PROVIDER.to_owned(), user(number));
            AssumeRoleWithSamlRequest { role: role(number), issuer, subject, duration_seconds: 0 }
        }),
        operation(STS, &sts_api::GET_SESSION_TOKEN, |draw| GetSessionTokenRequest {
            principal: principal(draw.key()),
            duration_seconds: 0,
        }),
        operation(STS, &sts_api::GET_CALLER_IDENTITY, |draw| GetCallerIdentityRequest {
            principal: principal(draw.key()),
            session_token: String::new(),
        }),
    ]
}

fn iam() -> Vec<Operation> {
    vec![
        operation(IAM, &iam_api::GET_USER, |draw| GetUserRequest { user_name: user(draw.key()) }),
        operation(IAM, &iam_api::GET_ROLE, |draw| GetRoleRequest { role_name: role(draw.key()) }),
        operation(IAM, &iam_api::LIST_GROUPS_FOR_USER, |draw| ListGroupsForUserRequest {
            user_name: user(draw.key()),
        }),
        operation(IAM, &iam_api::AUTHORIZE, |draw| AuthorizeRequest {
            principal: principal(draw.key()),
            action: "redshift:DescribeClusters".to_owned(),
            resource: "*".to_owned(),
        }),
        // Most names are taken after a while, which is an answer too.
        operation(IAM, &iam_api::CREATE_USER, |draw| {
            let user_name = format!("new-user-{}", draw.key());
            CreateUserRequest { password: first_password(&user_name), user_name }
        }),
        operation(IAM, &iam_api::PUT_ROLE_POLICY, |draw| PutRolePolicyRequest {
            role_name: role(draw.key()),
            policy_name: "own".to_owned(),
            policy_document: Some(allow(&["dynamodb:*"], &["*"])),
        }),
    ]
}

fn sign_in() -> Vec<Operation> {
    vec![
        operation(SIGN_IN, &sign_in_api::CONSOLE_SIGN_IN, |draw| {
            let user_name = user(draw.key());
            ConsoleSignInRequest { password: first_password(&user_name), user_name }
        }),
        operation(SIGN_IN, &sign_in_api::ROOT_SIGN_IN, |draw| {
            let account = account(draw.key());
            RootSignInRequest { password: first_password(&account), account }
        }),
        operation(SIGN_IN, &sign_in_api::FEDERATED_SIGN_IN, |draw| {
            let number = draw.key();
            let (issuer, subject) = (SAML_PROVIDER.to_owned(), user(number));
            FederatedSignInRequest { issuer, subject, role: role(number) }
        }),
    ]
}

fn identity_center() -> Vec<Operation> {
    let session = |draw: &mut Draw<'_>| {
        let user = user(draw.key());
        CreateSessionRequest { password: first_password(&user), user }
    };
    vec![
        operation(IDENTITY_CENTER, &identity_center_api::CREATE_SESSION, session),
        // As a browser does it: a session first, then what it is for.
        Operation {
            kinds: IDENTITY_CENTER,
            name: identity_center_api::LIST_ACCOUNTS.method().name,
            send: Arc::new(move |client, intended, draw| {
                let (client, request) = (client.clone(), session(draw));
                Box::pin(async move {
                    let made =
                        client.call_intended(intended, &identity_center_api::CREATE_SESSION, request).await?;
                    let request = ListAccountsRequest { session: made.session };
                    client.call(&identity_center_api::LIST_ACCOUNTS, request).await.map(drop)
                })
            }),
        },
    ]
}

fn principal(number: u64) -> String {
    format!("user/{}", user(number))
}
