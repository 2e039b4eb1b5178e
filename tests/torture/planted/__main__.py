"""`python -m tests.torture.planted`: hunts all planted bugs."""

from tests.torture.planted import main

raise SystemExit(main())
