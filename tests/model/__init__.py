"""What every account must have got, as a specification that runs, and the whole server held against it."""
