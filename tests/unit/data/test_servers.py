from shears.config import DataSettings
from shears.data.servers import SHA256, URLS


def test_a_configuration_downloads_from_these_servers_and_checks_this_checksum():
    data = DataSettings()
    assert tuple(data.urls) == URLS
    assert data.sha256 == SHA256
