# No code parameter: the checksum shows whether the archive is right, and an edit of the
# downloader must neither download it again nor retrain everything.
rule download_cifar10:
    output:
        archive="resources/cifar-10-binary.tar.gz",
    log:
        LOGS / "download_cifar10.log",
    benchmark:
        BENCHMARKS / "download_cifar10.tsv"
    priority: 1  # before Part A, so that a bad archive is known at once
    conda:
        "../envs/shears.yaml"
    message:
        "Fetching the CIFAR-10 archive"
    script:
        "../scripts/download_cifar10.py"


rule prepare_dataset:
    input:
        unpack(archive),
    output:
        dataset=RESULTS / "dataset.h5",
    log:
        LOGS / "prepare_dataset.log",
    benchmark:
        BENCHMARKS / "prepare_dataset.tsv"
    conda:
        "../envs/shears.yaml"
    params:
        settings=dict(
            name=CONFIG.data.name,
            validation_images=CONFIG.data.validation_images,
            training_images=CONFIG.data.training_images,
            seed=CONFIG.data.seed,
        ),
        code=code("prepare_dataset"),
    message:
        "Preparing the images of {params.settings[name]}"
    script:
        "../scripts/prepare_dataset.py"
