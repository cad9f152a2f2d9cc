"""The pretend Moodle: its web services as real servers (5.1 on PostgreSQL, 4.3 on MariaDB) answered them."""
