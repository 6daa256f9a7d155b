//! Requests to ECS and EKS: batch jobs, services and node groups that are scaled up and down.

use eastfall_proto::containers::{ecs_api, eks_api, *};

use super::{Draw, Operation, operation};

/// Services, and node groups, that customers have (assumption).
const GROUPS: u64 = 20;
/// The largest size that one is given (assumption).
const LARGEST: u64 = 6;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(&["ecs"], &ecs_api::RUN_TASK, |draw| RunTaskRequest {
            family: "batch".to_owned(),
            // Ten to twenty minutes (assumption).
            run_seconds: 600 + (draw.key() % 600) as u32,
            client_token: draw.token(),
        }),
        operation(&["ecs"], &ecs_api::UPDATE_SERVICE, |draw| UpdateServiceRequest {
            service: group("service", draw),
            desired_count: size(draw),
        }),
        operation(&["ecs"], &ecs_api::DESCRIBE_SERVICES, |draw| DescribeServicesRequest {
            service: group("service", draw),
        }),
        operation(&["eks"], &eks_api::CREATE_NODEGROUP, |draw| CreateNodegroupRequest {
            nodegroup: group("nodes", draw),
            desired_size: size(draw),
        }),
        operation(&["eks"], &eks_api::UPDATE_NODEGROUP_CONFIG, |draw| UpdateNodegroupConfigRequest {
            nodegroup: group("nodes", draw),
            desired_size: size(draw),
        }),
        operation(&["eks"], &eks_api::DESCRIBE_NODEGROUP, |draw| DescribeNodegroupRequest {
            nodegroup: group("nodes", draw),
        }),
    ]
}

fn group(kind: &str, draw: &mut Draw<'_>) -> String {
    format!("{kind}-{}", draw.key() % GROUPS)
}

fn size(draw: &mut Draw<'_>) -> u32 {
    (1 + draw.key() % LARGEST) as u32
}
