import pytest

from shears.runtime import device

INTEL, AMD = "GenuineIntel", "AuthenticAMD"


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        (INTEL, "avx512f avx512_bf16", "float32"),
        (INTEL, "avx512f avx512_bf16 amx_bf16 amx_tile", "bfloat16"),
        (AMD, "avx512f avx512_bf16", "bfloat16"),
        (AMD, "avx512f", "float32"),
        (None, "", "float32"),
    ],
)
def test_bfloat16_is_chosen_where_it_is_faster(monkeypatch, vendor, flags, expected):
    fields = {"vendor_id": vendor, "flags": flags} if vendor else {}
    monkeypatch.setattr(device, "cpu_fields", lambda: fields)
    monkeypatch.setattr(device.tf.config, "get_visible_devices", lambda kind: [])
    assert device.choose_precision("auto") == expected
    assert device.choose_precision("bfloat16") == "bfloat16"
