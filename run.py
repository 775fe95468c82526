"""The one script a user starts: compose a configuration, check it, call its task.

python run.py                                              train the tiny policy on Countdown
python run.py objective=rs_grpo objective.beta=4           another objective
python run.py -m objective=grpo,rs_grpo seed=0,1,2         a sweep
python run.py ckpt=outputs/RUN iterations=120              resume or extend a run
python run.py --help                                       every group and key
"""

from rsgrpo.main import main

if __name__ == "__main__":
    main()
