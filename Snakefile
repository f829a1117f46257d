# Shears: train, prune, score and package the fixed CIFAR-10 network.
# Each stage stands in its own file under rules/; config.yaml says what is run.

from snakemake.utils import min_version

from shears.config import check_yaml
from shears.errors import plain_errors

min_version("9.27")
with plain_errors():
    check_yaml(f"{workflow.basedir}/config.yaml")


configfile: f"{workflow.basedir}/config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/prune.smk"
include: "rules/score.smk"
include: "rules/submit.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        rules.package_submission.output,
        rules.score_report.output,
