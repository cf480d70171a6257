from prunescope.cli import main

main()
