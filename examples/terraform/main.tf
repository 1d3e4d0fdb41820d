# Deploys Bedrock Quota Monitor in one or more Regions, from the template that `quota-monitor package` writes.
# docs/install.md says how to use it.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0" # a resource names its own Region
    }
  }
}

variable "regions" {
  description = "Regions whose Bedrock quotas to watch: those that `quota-monitor package --regions` got."
  type        = set(string)
}

variable "bucket_prefix" {
  description = "The bucket PREFIX-REGION of each Region has the code: what `quota-monitor package --bucket-prefix` got."
  type        = string
}

variable "template" {
  description = "Path of the template that `quota-monitor package` wrote."
  type        = string
  default     = "stack-set.json"
}

variable "parameters" {
  description = "Parameters of the template. docs/reference.md lists them."
  type        = map(string)
  default = {
    InvocationLogging = "adopt-only" # with set-up, a stack turns on Bedrock's invocation logging, which stores prompts
  }
}

data "aws_partition" "current" {} # its URLs end with amazonaws.com, or in China with amazonaws.com.cn

# The template is larger than the 51,200 bytes that CloudFormation takes in a request. The hash in the key makes a new
# template an update of the stack: Terraform compares the URL, and does not look at what is there.
resource "aws_s3_object" "template" {
  for_each = var.regions

  region = each.key
  bucket = "${var.bucket_prefix}-${each.key}"
  key    = "bedrock-quota-monitor-${filesha256(var.template)}.json"
  source = var.template
}

resource "aws_cloudformation_stack" "monitor" {
  for_each = var.regions

  region       = each.key
  name         = "bedrock-quota-monitor"
  template_url = "https://${aws_s3_object.template[each.key].bucket}.s3.${each.key}.${data.aws_partition.current.dns_suffix}/${aws_s3_object.template[each.key].key}"
  parameters   = var.parameters
  capabilities = ["CAPABILITY_IAM"]
  on_failure   = "DELETE"

  timeouts { # a new account may run so few functions at once that one of the set-up waits
    create = "60m"
    update = "60m"
    delete = "60m"
  }
}

output "dashboards" {
  description = "URL of the dashboard in each Region."
  value       = { for region, stack in aws_cloudformation_stack.monitor : region => stack.outputs["DashboardURL"] }
}

output "alarm_topics" {
  description = "ARN of the topic of all alarms in each Region. Subscribe to it."
  value       = { for region, stack in aws_cloudformation_stack.monitor : region => stack.outputs["AlarmTopicArn"] }
}
